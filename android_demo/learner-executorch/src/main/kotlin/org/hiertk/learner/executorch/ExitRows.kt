/** The early exit's rows among parameters and moments. */
package org.hiertk.learner.executorch

import org.hiertk.core.BundleException
import org.hiertk.core.learning.ExitRow
import org.hiertk.core.learning.checkRow
import org.hiertk.core.tensors.FloatTensor
import java.nio.file.Path

private const val WEIGHT = "exit.weight" // (class slots, channels)
private const val BIAS = "exit.bias" // (class slots,)

/** Refuse parameters whose early exit is of another size. Throws BundleException. */
internal fun checkExit(parameters: Tensors, slots: Int, channels: Int, where: Path) {
    if (parameters[WEIGHT]?.shape != listOf(slots, channels) || parameters[BIAS]?.shape != listOf(slots)) {
        throw BundleException("$where: no early exit of $slots slots: export the bundle again")
    }
}

/** Return a copy of a slot's row. */
internal fun rowOf(training: Training, slot: Int): ExitRow {
    val weight = training.parameters.getValue(WEIGHT)
    val channels = weight.shape[1]
    val row = weight.values.copyOfRange(slot * channels, (slot + 1) * channels)
    return ExitRow(row, training.parameters.getValue(BIAS).values[slot])
}

/** Return the training with that row, if any, and the row's moments at zero. Throws ConfigException. */
internal fun withRow(training: Training, slot: Int, row: ExitRow?): Training {
    val channels = training.parameters.getValue(WEIGHT).shape[1]
    if (row != null) checkRow(row, channels)
    val parameters = if (row == null) training.parameters else training.parameters.with(slot, row)
    val zeros = ExitRow(FloatArray(channels), 0f)
    val moments = training.moments.mapValues { (_, tensors) -> tensors.with(slot, zeros) }
    return Training(parameters, moments, training.statistics, training.steps)
}

private fun Tensors.with(slot: Int, row: ExitRow): Tensors = mapValues { (name, tensor) ->
    when (name) {
        WEIGHT -> tensor.with(slot * row.weight.size, row.weight)
        BIAS -> tensor.with(slot, floatArrayOf(row.bias))
        else -> tensor
    }
}

private fun FloatTensor.with(start: Int, part: FloatArray) = FloatTensor(shape, values.copyOf().also { part.copyInto(it, start) })
