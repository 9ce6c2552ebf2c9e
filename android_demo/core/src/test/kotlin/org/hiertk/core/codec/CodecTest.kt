package org.hiertk.core.codec

import com.github.luben.zstd.Zstd
import com.google.protobuf.ByteString
import kotlin.math.abs
import kotlin.random.Random
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.constraints.IntRange
import org.hiertk.core.ProtocolException
import org.hiertk.protocol.QuantizedFeatures
import org.hiertk.protocol.QuantizedFeatures.Compression
import org.junit.jupiter.api.Test

private val SHAPE = FeatureShape(2, 3, 3, 1)

private fun bits(isFour: Boolean) = if (isFour) 4 else 8

/** Features around zero, each channel of another magnitude, with ties between two steps among them. */
private fun features(random: Random, shape: FeatureShape): FloatArray {
    val magnitudes = FloatArray(shape.channels) { Math.scalb(1f, random.nextInt(-130, 90)) }
    return FloatArray(shape.values) {
        val step = if (random.nextBoolean()) random.nextInt(-255, 256) / 2f else 255 * random.nextFloat() - 100
        step * magnitudes[it / shape.plane % shape.channels]
    }
}

class CodecTest {
    private val message = encode(quantize(features(Random(1), SHAPE), SHAPE, 4))

    private fun refused(change: QuantizedFeatures.Builder.() -> Unit) {
        val changed = message.toBuilder().apply(change).build()
        assertFailsWith<ProtocolException> { decode(changed, SHAPE) }
    }

    @Property
    fun `values are rounded half to even, as the definition says`(@ForAll seed: Long, @ForAll isFour: Boolean) {
        val shape = FeatureShape(3, 2, 2, 5)
        val features = features(Random(seed), shape)
        val quantized = quantize(features, shape, bits(isFour))
        val expected = ByteArray(shape.values) {
            val channel = it / shape.plane % shape.channels
            val zeroPoint = quantized.zeroPoints[channel].toInt() and 255
            val rounded = Math.rint((features[it] / quantized.scales[channel]).toDouble()).toInt()
            (rounded + zeroPoint).coerceIn(0, largest(bits(isFour))).toByte()
        }
        assertContentEquals(expected, quantized.values)
    }

    @Property
    fun `what comes back is within a step, and zero is exact`(@ForAll seed: Long, @ForAll isFour: Boolean) {
        val shape = FeatureShape(2, 3, 1, 7)
        val features = features(Random(seed), shape).also { it[seed.mod(it.size)] = 0f }
        val quantized = quantize(features, shape, bits(isFour))
        val back = dequantize(decode(encode(quantized), shape))
        for ((index, value) in features.withIndex()) {
            val scale = quantized.scales[index / shape.plane % shape.channels]
            assertTrue(abs(value.toDouble() - back[index]) <= scale.toDouble(), "$value became ${back[index]}")
            if (value == 0f) assertEquals(0f, abs(back[index]))
        }
    }

    @Property
    fun `rows of a batch are the batch's rows`(@ForAll seed: Long, @ForAll @IntRange(max = 5) start: Int) {
        val shape = FeatureShape(6, 2, 3, 1)
        val quantized = quantize(features(Random(seed), shape), shape, 4)
        val rows = dequantize(decode(encode(quantized.rows(start, 6)), FeatureShape(6 - start, 2, 3, 1)))
        assertContentEquals(dequantize(quantized).copyOfRange(start * 6, 36), rows)
    }

    @Property
    fun `an arbitrary payload raises only protocol errors`(@ForAll payload: ByteArray, @ForAll isZstd: Boolean) {
        val changed = message.toBuilder()
            .setCompression(if (isZstd) Compression.ZSTD else Compression.NONE)
            .setPayload(ByteString.copyFrom(payload)).build()
        try {
            assertEquals(SHAPE.values, decode(changed, SHAPE).values.size)
        } catch (error: ProtocolException) {
            assertTrue(error.message.orEmpty().startsWith("features"))
        }
    }

    @Property
    fun `a damaged frame raises only protocol errors`(@ForAll place: Int, @ForAll value: Byte, @ForAll isCut: Boolean) {
        val payload = message.payload.toByteArray()
        val at = Math.floorMod(place, payload.size)
        val damaged = if (isCut) payload.copyOf(at) else payload.copyOf().also { it[at] = value }
        try {
            assertEquals(SHAPE.values, decode(message.toBuilder().setPayload(ByteString.copyFrom(damaged)).build(), SHAPE).values.size)
        } catch (error: ProtocolException) {
            assertTrue(error.message.orEmpty().startsWith("features"))
        }
    }

    @Test
    fun `features that are no numbers are refused`() {
        for (bad in listOf(Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, 2e30f, -2e30f)) {
            for (place in listOf(0, 9, 17)) {
                val error = assertFailsWith<ProtocolException> {
                    quantize(FloatArray(18) { 1f }.also { it[place] = bad }, SHAPE, 8)
                }
                assertTrue("training diverged" in error.message.orEmpty())
            }
        }
    }

    @Test
    fun `other bit widths, too few values and impossible shapes are refused`() {
        assertFailsWith<ProtocolException> { quantize(FloatArray(18), SHAPE, 5) }
        assertFailsWith<ProtocolException> { quantize(FloatArray(17), SHAPE, 8) }
        assertFailsWith<ProtocolException> { FeatureShape(0, 3, 3, 1) }
        assertFailsWith<ProtocolException> { FeatureShape(1 shl 16, 1 shl 16, 1 shl 16, 1 shl 16) }
    }

    @Test
    fun `a message that does not fit its shape is refused`() {
        refused { setBits(5) }
        refused { setBits(8) }
        refused { setScales(scales.substring(1)) }
        refused { setZeroPoints(zeroPoints.concat(zeroPoints)) }
        refused { setZeroPoints(ByteString.copyFrom(byteArrayOf(16, 0, 0))) }
        refused { setScales(ByteString.copyFrom(ByteArray(12))) }
        refused { setScales(ByteString.copyFrom(ByteArray(12) { -1 })) }
        refused { setCompressionValue(7) }
        refused { setPayload(payload.concat(payload)) }
        refused { setPayload(payload.concat(ByteString.copyFrom(byteArrayOf(0)))) }
        refused { setPayload(ByteString.EMPTY) }
    }

    @Test
    fun `the unused last nibble must be zero`() {
        val shape = FeatureShape(1, 3, 3, 1)
        val one = encode(quantize(FloatArray(9) { it.toFloat() }, shape, 4))
        val packed = Zstd.decompress(one.payload.toByteArray(), 5).also { it[4] = (it[4].toInt() or 0x10).toByte() }
        val changed = one.toBuilder().setCompression(Compression.NONE).setPayload(ByteString.copyFrom(packed)).build()
        assertFailsWith<ProtocolException> { decode(changed, shape) }
    }

    @Test
    fun `a frame that announces gigabytes is refused before they are allocated`() {
        val zeros = ByteArray(64 shl 20)
        val bomb = Zstd.compress(zeros, 1)
        refused { setPayload(ByteString.copyFrom(bomb)) }
    }
}
