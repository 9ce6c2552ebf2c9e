/** How the early exit takes a new class up: its first row, and the loss's correction while it is rare. */
package org.hiertk.core.learning

import kotlin.math.exp
import kotlin.math.ln
import kotlin.math.sqrt

/**
 * Return the row with which a linear exit begins to know a class; the numbers of `hiertk_protocol.new_class`.
 *
 * examples: what the exit sees of the class, each (D,), one at least. others: the mean (D,) of what it
 * sees of the classes that it knows, null where there is nothing to take it from. known: the open
 * slots' rows. The row points from the others to the examples, with the mean length of the known
 * rows; halfway between the two it is level with all known classes together.
 *
 * After weight imprinting (Qi et al., CVPR 2018), for an exit whose inputs are not normalized.
 */
fun imprintedRow(examples: List<FloatArray>, others: FloatArray?, known: List<ExitRow>): ExitRow {
    val mean = meanOf(examples)
    val center = DoubleArray(mean.size) { if (others == null) 0.0 else others[it].toDouble() }
    val direction = DoubleArray(mean.size) { mean[it] - center[it] }
    val halfway = DoubleArray(mean.size) { (mean[it] + center[it]) / 2 }
    val length = norm(direction)
    val wanted = if (known.isEmpty()) 1.0 else known.map { norm(it.weight.toDoubles()) }.average()
    val scale = if (length > 0) wanted / length else 1.0
    val row = DoubleArray(mean.size) { direction[it] * scale }
    val level = if (known.isEmpty()) 0.0 else logSumExp(known.map { dot(it.weight.toDoubles(), halfway) + it.bias })
    return ExitRow(FloatArray(row.size) { row[it].toFloat() }, (level - dot(row, halfway)).toFloat())
}

/**
 * Return what is added to the training logits so that rare classes are not drowned, (class slots,).
 *
 * counts: how often each slot was trained on of late; slots of 0 get 0, as the most frequent one does.
 *
 * Logit adjustment (Menon et al., ICLR 2021).
 */
fun logPrior(counts: DoubleArray, strength: Double = 1.0): FloatArray {
    val most = counts.maxOrNull() ?: 0.0
    return FloatArray(counts.size) { slot ->
        if (counts[slot] > 0) (strength * ln(counts[slot] / most)).toFloat() else 0f
    }
}

/** Return the mean (D,) of vectors of the same length, one at least. */
internal fun meanOf(vectors: List<FloatArray>): DoubleArray {
    val sum = DoubleArray(vectors.first().size)
    for (vector in vectors) for (index in sum.indices) sum[index] += vector[index].toDouble()
    for (index in sum.indices) sum[index] /= vectors.size.toDouble()
    return sum
}

private fun FloatArray.toDoubles() = DoubleArray(size) { this[it].toDouble() }

private fun dot(a: DoubleArray, b: DoubleArray): Double {
    var sum = 0.0
    for (index in a.indices) sum += a[index] * b[index]
    return sum
}

private fun norm(vector: DoubleArray) = sqrt(dot(vector, vector))

private fun logSumExp(logits: List<Double>): Double {
    val top = logits.maxOf { it }
    return top + ln(logits.sumOf { exp(it - top) })
}
