/**
 * A training step's time on the JVM, for benchmarks/phone_step.py, which takes turns with it.
 *
 * Arguments: a bundle's folder and the batch size. Each line of input is how many steps to do; the
 * answer is what each took in milliseconds, as a list in JSON.
 */
package org.hiertk.learner.ort

import org.hiertk.core.bundle.openBundle
import org.hiertk.core.golden.GoldenSteps
import java.nio.file.Paths

fun main(arguments: Array<String>) {
    val bundle = openBundle(Paths.get(arguments[0]))
    val batchSize = arguments[1].toInt()
    val golden = GoldenSteps(bundle)
    val images = (0 until golden.steps).map(golden::images).reduce { one, other -> one + other }
    val labels = (0 until golden.steps).map(golden::labels).reduce { one, other -> one + other }
    val batch = FloatArray(batchSize * bundle.manifest.input.values) { images[it % images.size] }
    val slots = IntArray(batchSize) { labels[it % labels.size] }
    OrtLearner(bundle).use { learner ->
        for (line in generateSequence(::readlnOrNull)) {
            println(
                List(line.toInt()) {
                    val started = System.nanoTime()
                    learner.step(batch, slots)
                    (System.nanoTime() - started) / 1e6
                },
            )
        }
    }
}
