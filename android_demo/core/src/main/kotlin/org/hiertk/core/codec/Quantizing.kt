/**
 * Affine quantization, exactly as the head of protocol/hiertk_protocol/codec.py defines it.
 *
 * All arithmetic is IEEE float32 unless a Double says otherwise, rounding is half to even.
 */
package org.hiertk.core.codec

import org.hiertk.core.ProtocolException

private const val LARGEST_VALUE = 1e30f // beyond it the network has diverged
internal const val SMALLEST_SCALE = java.lang.Float.MIN_NORMAL // 2^-126
internal const val LARGEST_SCALE = LARGEST_VALUE
private const val BLOCK = 1 shl 12 // values that stay in the cache between two passes

// 1.5 * 2^23: floats from there on are integers, so adding it rounds, and rounds half to even. What
// is added to is a quotient of at most some 255, so the sum stays there, and its low bits are the
// integer. Two vectorizable passes in place of Math.rint, which takes the way through Double.
private const val ROUNDER = 12_582_912f

/**
 * Quantize the first shape.values of `features` to `bits` bits per value.
 *
 * Throws ProtocolException for NaN, infinity or values beyond 1e30, for too few values, and for a
 * bit width but 8 and 4.
 */
fun quantize(features: FloatArray, shape: FeatureShape, bits: Int): Quantized {
    checkBits(bits)
    if (features.size < shape.values) {
        throw ProtocolException("features: ${features.size} values where the shape says ${shape.values}")
    }
    val low = FloatArray(shape.channels)
    val high = FloatArray(shape.channels)
    findRanges(features, shape, low, high)
    val scales = FloatArray(shape.channels)
    val zeroPoints = ByteArray(shape.channels)
    for (channel in 0 until shape.channels) {
        val scale = scaleOf(low[channel].toDouble(), high[channel].toDouble(), bits)
        scales[channel] = scale
        zeroPoints[channel] = clamp(Math.rint(-low[channel].toDouble() / scale).toInt(), bits).toByte()
    }
    val result = Quantized(bits, shape, ByteArray(shape.values), scales, zeroPoints)
    roundAll(features, result)
    return result
}

/** Return the features (N, C, H, W) that the quantized ones stand for. */
fun dequantize(quantized: Quantized): FloatArray {
    val shape = quantized.shape
    val features = FloatArray(shape.values)
    var index = 0
    for (sample in 0 until shape.count) {
        for (channel in 0 until shape.channels) {
            val scale = quantized.scales[channel]
            val zeroPoint = quantized.zeroPoints[channel].toInt() and 255
            for (place in index until index + shape.plane) {
                features[place] = ((quantized.values[place].toInt() and 255) - zeroPoint).toFloat() * scale
            }
            index += shape.plane
        }
    }
    return features
}

internal fun checkBits(bits: Int) {
    if (bits != 8 && bits != 4) throw ProtocolException("$bits bits per value: only 8 and 4 are defined")
}

internal fun largest(bits: Int): Int = (1 shl bits) - 1

/** Find min(0, smallest) and max(0, largest) of each channel. */
private fun findRanges(features: FloatArray, shape: FeatureShape, low: FloatArray, high: FloatArray) {
    var index = 0
    for (sample in 0 until shape.count) {
        for (channel in 0 until shape.channels) {
            var smallest = low[channel]
            var biggest = high[channel]
            for (place in index until index + shape.plane) {
                val value = features[place]
                if (!(value >= smallest)) { // a NaN compares as false
                    if (value.isNaN()) throw diverged()
                    smallest = value
                }
                if (value > biggest) biggest = value
            }
            low[channel] = smallest
            high[channel] = biggest
            index += shape.plane
        }
    }
    if (low.any { it < -LARGEST_VALUE } || high.any { it > LARGEST_VALUE }) throw diverged()
}

private fun diverged() =
    ProtocolException("features hold NaN, infinity or values beyond 1e30: training diverged: start from the bundle again")

private fun scaleOf(low: Double, high: Double, bits: Int): Float =
    maxOf((high - low) / largest(bits), SMALLEST_SCALE.toDouble()).toFloat()

private fun clamp(value: Int, bits: Int): Int = minOf(maxOf(value, 0), largest(bits))

private fun roundAll(features: FloatArray, result: Quantized) {
    val shape = result.shape
    // One scale and one offset for each value of a sample: the loops below need not look for them.
    val scales = spread(shape) { result.scales[it] }
    val offsets = spread(shape) { (result.zeroPoints[it].toInt() and 255).toFloat() }
    val work = FloatArray(minOf(BLOCK, shape.sampleValues))
    var sample = 0
    while (sample < shape.values) {
        var start = 0
        while (start < shape.sampleValues) {
            val size = minOf(BLOCK, shape.sampleValues - start)
            divideAndRound(features, sample + start, scales, offsets, start, size, work)
            store(work, size, largest(result.bits), result.values, sample + start)
            start += size
        }
        sample += shape.sampleValues
    }
}

private inline fun spread(shape: FeatureShape, value: (Int) -> Float): FloatArray {
    val all = FloatArray(shape.sampleValues)
    for (channel in 0 until shape.channels) {
        all.fill(value(channel), channel * shape.plane, (channel + 1) * shape.plane)
    }
    return all
}

private fun divideAndRound(
    features: FloatArray, from: Int, scales: FloatArray, offsets: FloatArray, start: Int, size: Int, work: FloatArray,
) {
    for (index in 0 until size) {
        work[index] = features[from + index] / scales[start + index] + ROUNDER + offsets[start + index]
    }
}

private fun store(work: FloatArray, size: Int, most: Int, values: ByteArray, to: Int) {
    val zero = ROUNDER.toRawBits()
    for (index in 0 until size) {
        val value = work[index].toRawBits() - zero
        values[to + index] = minOf(maxOf(value, 0), most).toByte()
    }
}
