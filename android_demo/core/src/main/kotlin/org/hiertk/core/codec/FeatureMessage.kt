/** Quantized features as a message: packed two to a byte at 4 bits, then one zstd frame. */
package org.hiertk.core.codec

import com.github.luben.zstd.Zstd
import com.github.luben.zstd.ZstdException
import com.google.protobuf.ByteString
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.hiertk.core.ProtocolException
import org.hiertk.protocol.QuantizedFeatures
import org.hiertk.protocol.QuantizedFeatures.Compression

private const val ZSTD_LEVEL = 1

/** Buffers of one thread, which grow to the largest batch that it has met. */
private class Buffers {
    var packed = ByteArray(0)
    var compressed = ByteArray(0)
}

private val own = object : ThreadLocal<Buffers>() {
    override fun initialValue() = Buffers()
}

/** Return the bytes that a payload holds before compression. */
fun pack(quantized: Quantized): ByteArray {
    if (quantized.bits == 8) return quantized.values
    val packed = ByteArray(packedSize(quantized.shape.values, quantized.bits))
    packNibbles(quantized.values, quantized.shape.values, packed)
    return packed
}

/** Pack and compress quantized features into their message. */
fun encode(quantized: Quantized): QuantizedFeatures = QuantizedFeatures.newBuilder()
    .setBits(quantized.bits)
    .setScales(toBytes(quantized.scales))
    .setZeroPoints(ByteString.copyFrom(quantized.zeroPoints))
    .setCompression(Compression.ZSTD)
    .setPayload(compress(quantized))
    .build()

/**
 * Unpack a message of features of that shape; takes no more memory than the shape says.
 *
 * Throws ProtocolException if anything does not fit it.
 */
fun decode(message: QuantizedFeatures, shape: FeatureShape): Quantized {
    val bits = message.bits
    checkBits(bits)
    val scales = toFloats(exactly(message.scales, 4 * shape.channels, "scales"))
    if (!scales.all { it >= SMALLEST_SCALE && it <= LARGEST_SCALE }) { // a NaN compares as false
        throw ProtocolException("features: a scale is not a positive normal number up to 1e30")
    }
    val zeroPoints = exactly(message.zeroPoints, shape.channels, "zero points").toByteArray()
    if (zeroPoints.any { (it.toInt() and 255) > largest(bits) }) {
        throw ProtocolException("features: a zero point exceeds ${largest(bits)}")
    }
    val packed = unpackedPayload(message, packedSize(shape.values, bits))
    val values = if (bits == 8) packed else unpackNibbles(packed, shape.values)
    return Quantized(bits, shape, values, scales, zeroPoints)
}

private fun packedSize(values: Int, bits: Int): Int = if (bits == 8) values else (values + 1) / 2

private fun packNibbles(values: ByteArray, count: Int, packed: ByteArray) {
    val pairs = count / 2
    for (index in 0 until pairs) {
        packed[index] = (values[2 * index].toInt() or (values[2 * index + 1].toInt() shl 4)).toByte()
    }
    if (count % 2 == 1) packed[pairs] = values[count - 1]
}

private fun unpackNibbles(packed: ByteArray, count: Int): ByteArray {
    if (count % 2 == 1 && packed.last().toInt() shr 4 and 15 != 0) {
        throw ProtocolException("features: the unused last nibble is not zero")
    }
    val values = ByteArray(count)
    for (index in 0 until count) {
        values[index] = (packed[index shr 1].toInt() shr (4 * (index and 1)) and 15).toByte()
    }
    return values
}

private fun compress(quantized: Quantized): ByteString {
    val buffers = own.get()
    val size = packedSize(quantized.shape.values, quantized.bits)
    val packed = if (quantized.bits == 8) quantized.values else buffers.packedOf(size)
    if (quantized.bits == 4) packNibbles(quantized.values, quantized.shape.values, packed)
    val target = buffers.compressedOf(Zstd.compressBound(size.toLong()).toInt())
    try {
        // The frame states its content size, as it does wherever that is known from the start.
        val written = Zstd.compressByteArray(target, 0, target.size, packed, 0, size, ZSTD_LEVEL)
        return ByteString.copyFrom(target, 0, written.toInt())
    } catch (error: ZstdException) {
        throw ProtocolException("features: cannot be compressed: ${error.message}: is the memory full?", error)
    }
}

private fun Buffers.packedOf(size: Int): ByteArray {
    if (packed.size < size) packed = ByteArray(size)
    return packed
}

private fun Buffers.compressedOf(size: Int): ByteArray {
    if (compressed.size < size) compressed = ByteArray(size)
    return compressed
}

private fun unpackedPayload(message: QuantizedFeatures, size: Int): ByteArray = when (message.compression) {
    Compression.NONE -> exactly(message.payload, size, "payload").toByteArray()
    Compression.ZSTD -> decompress(message.payload.toByteArray(), size)
    else -> throw ProtocolException("features: compression ${message.compressionValue} is unknown")
}

private fun decompress(frame: ByteArray, size: Int): ByteArray {
    try {
        // The frame's own size is checked before anything of that size is allocated.
        if (frame.isEmpty() || Zstd.getFrameContentSize(frame) != size.toLong()) {
            throw ProtocolException("features: the payload is not a zstd frame of $size bytes")
        }
        if (Zstd.findFrameCompressedSize(frame) != frame.size.toLong()) {
            throw ProtocolException("features: the payload is not one zstd frame and nothing else")
        }
        val raw = ByteArray(size)
        val written = Zstd.decompressByteArray(raw, 0, size, frame, 0, frame.size)
        if (written != size.toLong()) throw ProtocolException("features: the payload has $written bytes, not $size")
        return raw
    } catch (error: ZstdException) {
        throw ProtocolException("features: the payload does not decompress: ${error.message}", error)
    }
}

private fun exactly(data: ByteString, size: Int, what: String): ByteString {
    if (data.size() != size) {
        throw ProtocolException("features, $what: ${data.size()} bytes where the shape says $size")
    }
    return data
}

private fun toBytes(values: FloatArray): ByteString {
    val bytes = ByteBuffer.allocate(4 * values.size).order(ByteOrder.LITTLE_ENDIAN)
    for (value in values) bytes.putFloat(value)
    return ByteString.copyFrom(bytes.array())
}

private fun toFloats(data: ByteString): FloatArray {
    val bytes = ByteBuffer.wrap(data.toByteArray()).order(ByteOrder.LITTLE_ENDIAN)
    return FloatArray(data.size() / 4) { bytes.getFloat(4 * it) }
}
