/** An axis of a chart: its range, and round places for its ticks. */
package org.hiertk.core.view

import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.floor
import kotlin.math.log10
import kotlin.math.pow

/** A range of values with ticks inside; digits: behind the point, that its ticks need. low < high. */
class Axis(val low: Double, val high: Double, val ticks: DoubleArray, val digits: Int) {
    /** Return where a value is between low (0) and high (1). */
    fun place(value: Double): Double = (value - low) / (high - low)
}

/**
 * Return an axis over some values with about so many ticks at multiples of 1, 2 or 5 times a power of ten.
 *
 * The range is widened to the ticks. Values that are not finite do not count; without any, or with one
 * value only, the axis is one around it. fewestStep: between two ticks, such as 1 for whole numbers.
 */
fun axisOver(values: DoubleArray, about: Int = 4, fewestStep: Double = 0.0): Axis {
    val finite = values.filter { !it.isNaN() && !it.isInfinite() }
    val least = finite.minOrNull() ?: 0.0
    val most = finite.maxOrNull() ?: 1.0
    // One value, or values that differ by no more than rounding: an axis around them.
    val margin = if (most - least > 1e-9 * maxOf(abs(least), abs(most))) 0.0 else maxOf(abs(least) / 2, 0.5)
    val step = maxOf(roundStep((most - least + 2 * margin) / about), fewestStep)
    val first = floor((least - margin) / step + 1e-9)
    val last = maxOf(ceil((most + margin) / step - 1e-9), first + 1)
    val ticks = DoubleArray((last - first).toInt() + 1) { (first + it) * step }
    return Axis(ticks.first(), ticks.last(), ticks, digitsOf(step))
}

/** Return the axis of shares, from 0 to 1. */
fun shareAxis(): Axis = Axis(0.0, 1.0, doubleArrayOf(0.0, 0.25, 0.5, 0.75, 1.0), 2)

private fun roundStep(raw: Double): Double {
    val power = 10.0.pow(floor(log10(raw)))
    val factor = raw / power
    return power * when {
        factor <= 1 -> 1.0
        factor <= 2 -> 2.0
        factor <= 5 -> 5.0
        else -> 10.0
    }
}

private fun digitsOf(step: Double): Int = maxOf(0, -floor(log10(step) + 1e-9).toInt()).coerceAtMost(9)
