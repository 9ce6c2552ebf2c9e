/** Features in quantized form, and their sizes. */
package org.hiertk.core.codec

import org.hiertk.core.ProtocolException

/** The largest number of values of a batch. */
const val MAX_VALUES = 1 shl 26

/** Sizes of a batch of features (N, C, H, W). Throws ProtocolException for none, or too many values. */
data class FeatureShape(val count: Int, val channels: Int, val height: Int, val width: Int) {
    init {
        val sizes = listOf(count, channels, height, width)
        val values = sizes.fold(1L) { product, size -> minOf(product * size, Int.MAX_VALUE.toLong()) }
        if (sizes.any { it < 1 } || values > MAX_VALUES) {
            throw ProtocolException("features: shape $sizes is not four positive sizes of at most $MAX_VALUES values")
        }
    }

    /** Values of one channel of one sample. */
    val plane: Int get() = height * width

    /** Values of one sample. */
    val sampleValues: Int get() = channels * plane

    /** Values of all samples. */
    val values: Int get() = count * sampleValues

    /** Return N, C, H, W. */
    fun toList(): List<Int> = listOf(count, channels, height, width)
}

/**
 * Quantized features: x = (q - zero point) * scale.
 *
 * values: (N, C, H, W) unsigned bytes, each at most 2^bits - 1. scales: (C). zeroPoints: (C) unsigned
 * bytes.
 */
class Quantized(
    val bits: Int,
    val shape: FeatureShape,
    val values: ByteArray,
    val scales: FloatArray,
    val zeroPoints: ByteArray,
) {
    /** Return samples `start` to before `stop`, with the same scales. */
    fun rows(start: Int, stop: Int): Quantized = Quantized(
        bits,
        shape.copy(count = stop - start),
        values.copyOfRange(start * shape.sampleValues, stop * shape.sampleValues),
        scales,
        zeroPoints,
    )
}
