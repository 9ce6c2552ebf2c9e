package org.hiertk.learner.ort

import org.hiertk.core.golden.GoldenSteps
import org.hiertk.learner.Python
import org.junit.jupiter.api.Test

/**
 * A training step on the JVM over one of the Python learner, one thread each, taking turns.
 *
 * Not among the tests: it takes a minute or two, and its numbers need a quiet machine. In android_demo:
 * `mvn test -pl learner-ort -am -Dtest=StepBenchmark -Dsurefire.failIfNoSpecifiedTests=false`
 */
class StepBenchmark {
    @Test
    fun `print the median ratio of turns`() {
        val bundle = RealEngine.bundle
        val golden = GoldenSteps(bundle)
        val images = (0 until golden.steps).map(golden::images).reduce { one, other -> one + other }
        val labels = (0 until golden.steps).map(golden::labels).reduce { one, other -> one + other }
        val values = bundle.manifest.input.values
        val batch = FloatArray(BATCH * values) { images[it % images.size] }
        val slots = IntArray(BATCH) { labels[it % labels.size] }
        val python = Python.startSteps(bundle, BATCH)
        val times = OrtLearner(bundle).use { learner ->
            val asked = python.outputStream.bufferedWriter()
            val answers = python.inputStream.bufferedReader()
            List(TURNS) {
                val jvm = List(STEPS) { millis { learner.step(batch, slots) } }
                asked.write("$STEPS\n")
                asked.flush()
                val other = answers.readLine().split(" ").map(String::toDouble)
                median(jvm.drop(1)) to median(other.drop(1))
            }.drop(WARM_UP).also { asked.close() }
        }
        check(python.waitFor() == 0)
        val ratios = times.map { (jvm, other) -> jvm / other }.sorted()
        println(
            "batch $BATCH, medians of ${times.size} turns: JVM %.1f ms, Python %.1f ms, ratio %.3f (%.3f to %.3f)".format(
                median(times.map { it.first }), median(times.map { it.second }), median(ratios), ratios.first(), ratios.last(),
            ),
        )
    }

    private fun millis(work: () -> Unit): Double {
        val started = System.nanoTime()
        work()
        return (System.nanoTime() - started) / 1e6
    }

    private fun median(values: List<Double>): Double = values.sorted()[values.size / 2]

    private companion object {
        const val BATCH = 32
        const val TURNS = 24
        const val WARM_UP = 4
        const val STEPS = 5
    }
}
