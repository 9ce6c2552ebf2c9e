/**
 * Temperature scaling: so that of all answers given with 80 % confidence, some 80 % are right.
 *
 * Trained networks are surer of themselves than they are right. Dividing the logits by one temperature,
 * fitted on held-out images, mends most of it and changes no answer. Source: Guo, Pleiss, Sun,
 * Weinberger, On Calibration of Modern Neural Networks, ICML 2017; the numbers of the Python device.
 */
package org.hiertk.core.learning

import kotlin.math.exp
import kotlin.math.ln

const val MIN_TEMPERATURE = 0.05
const val MAX_TEMPERATURE = 20.0
const val NO_TEMPERATURE = 1.0
private const val MIN_SAMPLES = 50
private const val HALVINGS = 40 // of the logarithm of the temperature: to the last digit of float32

/** What the early exit says of a held-out image. logits: of the open slots; right: which of them is its class. */
class Judged(val logits: FloatArray, val right: Int, val slot: Int)

/**
 * Return the temperature that minimizes the mean cross entropy, between MIN_TEMPERATURE and MAX_TEMPERATURE.
 *
 * NO_TEMPERATURE for fewer than 50 images, images of one class only, or logits that are not finite: they
 * say too little. The cross entropy is convex in the inverse of the temperature, so its slope changes its
 * sign once, and halving the interval finds where.
 */
fun fitTemperature(judged: List<Judged>): Double {
    if (!sayEnough(judged)) return NO_TEMPERATURE
    var low = ln(MIN_TEMPERATURE)
    var high = ln(MAX_TEMPERATURE)
    repeat(HALVINGS) {
        val middle = (low + high) / 2
        if (judged.sumOf { slope(it, exp(middle)) } > 0) low = middle else high = middle
    }
    return exp((low + high) / 2).coerceIn(MIN_TEMPERATURE, MAX_TEMPERATURE)
}

/** Return the probabilities of logits at a temperature. */
internal fun softmax(logits: FloatArray, temperature: Double): DoubleArray {
    val top = logits.max()
    val raised = DoubleArray(logits.size) { exp((logits[it] - top) / temperature) }
    val sum = raised.sum()
    return DoubleArray(logits.size) { raised[it] / sum }
}

/** Return the slope of an image's cross entropy along the inverse temperature. */
private fun slope(one: Judged, temperature: Double): Double {
    val probabilities = softmax(one.logits, temperature)
    return probabilities.indices.sumOf { probabilities[it] * one.logits[it] } - one.logits[one.right]
}

private fun sayEnough(judged: List<Judged>) = judged.size >= MIN_SAMPLES &&
    judged.any { it.slot != judged.first().slot } && judged.all { one -> one.logits.all(Float::isFinite) }
