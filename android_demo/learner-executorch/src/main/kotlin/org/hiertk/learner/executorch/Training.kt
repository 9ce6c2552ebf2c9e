/** What training changes, and the optimizer that changes it. */
package org.hiertk.learner.executorch

import org.hiertk.core.bundle.Sgd
import org.hiertk.core.tensors.FloatTensor

private const val MOMENTUM = "momentum_buffer"

/**
 * All that training changes; never in place, so that a step that fails leaves it whole.
 *
 * moments: the optimizer's running averages, by PyTorch's name of their kind and the parameter's name.
 * steps: taken so far.
 */
internal class Training(val parameters: Tensors, val moments: Map<String, Tensors>, val statistics: Tensors, val steps: Long)

/** Return the training before the first step. */
internal fun untrained(optimizer: Sgd, state: ProgramState): Training {
    val zeros = state.parameters.mapValues { (_, tensor) -> FloatTensor(tensor.shape, FloatArray(tensor.values.size)) }
    val moments = if (optimizer.momentum > 0) mapOf(MOMENTUM to zeros) else emptyMap()
    return Training(state.parameters, moments, state.statistics, 0)
}

/**
 * Return the training after one step of SGD, with the statistics that came with the gradients.
 *
 * In PyTorch's order of operations, and rounded where its kernels round.
 */
internal fun stepped(optimizer: Sgd, rate: Float, before: Training, gradients: Tensors, statistics: Tensors): Training {
    val decay = optimizer.weightDecay.toFloat()
    val momentum = optimizer.momentum.toFloat()
    val slopes = before.parameters.mapValues { (name, parameter) ->
        val gradient = gradients.getValue(name)
        if (decay == 0f) gradient else fused(gradient, decay, parameter)
    }
    val averages = before.moments[MOMENTUM]?.mapValues { (name, average) -> averaged(average, momentum, slopes.getValue(name)) }
    val directions = when {
        averages == null -> slopes
        optimizer.nesterov -> slopes.mapValues { (name, slope) -> fused(slope, momentum, averages.getValue(name)) }
        else -> averages
    }
    val parameters = before.parameters.mapValues { (name, parameter) -> fused(parameter, -rate, directions.getValue(name)) }
    val moments = if (averages == null) emptyMap() else mapOf(MOMENTUM to averages)
    return Training(parameters, moments, statistics, before.steps + 1)
}

/**
 * Return one + factor * other, rounded once as by the fused instruction that PyTorch's kernels use.
 *
 * Java has none before Android 13. In a double the product is exact; of some 500 million sums one is
 * rounded the other way, because it is rounded to a double first.
 */
private fun fused(one: FloatTensor, factor: Float, other: FloatTensor): FloatTensor {
    val by = factor.toDouble()
    return FloatTensor(one.shape, FloatArray(one.values.size) { (one.values[it] + by * other.values[it]).toFloat() })
}

/** Return factor * average + slope, rounded after each: PyTorch does it in two calls. */
private fun averaged(average: FloatTensor, factor: Float, slope: FloatTensor): FloatTensor =
    FloatTensor(average.shape, FloatArray(average.values.size) { average.values[it] * factor + slope.values[it] })
