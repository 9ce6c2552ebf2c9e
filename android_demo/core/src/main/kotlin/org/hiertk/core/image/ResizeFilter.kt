/** The weights of Pillow's bilinear resize: a triangle that widens as the picture shrinks, so that each pixel counts. */
package org.hiertk.core.image

import kotlin.math.abs
import kotlin.math.ceil

internal const val WEIGHT_BITS = 22
internal const val HALF = 1 shl (WEIGHT_BITS - 1)

/**
 * The weights of one direction, from `from` pixels to `to`.
 *
 * first[i], count[i]: the pixels that make pixel i. weights[i * width + k]: of pixel first[i] + k, as
 * integers whose sum is 1 shl WEIGHT_BITS but for rounding. Ported from Pillow's Resample.c (its
 * 8-bit path), to the bit.
 */
internal class ResizeFilter(val from: Int, to: Int) {
    val first = IntArray(to)
    val count = IntArray(to)
    val width: Int
    val weights: IntArray

    init {
        val scale = from.toDouble() / to
        val support = maxOf(scale, 1.0) // of a triangle of half-width 1, widened
        width = ceil(support).toInt() * 2 + 1
        weights = IntArray(to * width)
        val shares = DoubleArray(width)
        for (pixel in 0 until to) {
            val center = (pixel + 0.5) * scale
            first[pixel] = maxOf((center - support + 0.5).toInt(), 0)
            count[pixel] = minOf((center + support + 0.5).toInt(), from) - first[pixel]
            var sum = 0.0
            for (index in 0 until count[pixel]) {
                shares[index] = maxOf(1 - abs((index + first[pixel] - center + 0.5) / support), 0.0)
                sum += shares[index]
            }
            for (index in 0 until count[pixel]) {
                weights[pixel * width + index] = (0.5 + shares[index] / sum * (1 shl WEIGHT_BITS)).toInt()
            }
        }
    }
}
