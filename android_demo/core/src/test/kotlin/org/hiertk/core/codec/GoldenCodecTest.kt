package org.hiertk.core.codec

import com.github.luben.zstd.Zstd
import com.google.protobuf.ByteString
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.file.Files
import java.nio.file.Paths
import java.util.Base64
import java.util.stream.Stream
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.hiertk.protocol.QuantizedFeatures
import org.hiertk.protocol.QuantizedFeatures.Compression
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.MethodSource

/** One of protocol/golden/codec.json. */
class GoldenCase(private val content: JsonObject) {
    val bits = content.getValue("bits").jsonPrimitive.int
    val shape = content.getValue("shape").jsonArray.map { it.jsonPrimitive.int }.let { (n, c, h, w) -> FeatureShape(n, c, h, w) }

    fun bytes(key: String): ByteArray = Base64.getDecoder().decode(content.getValue(key).jsonPrimitive.content)

    fun floats(key: String): FloatArray = ByteBuffer.wrap(bytes(key)).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
        .let { buffer -> FloatArray(buffer.remaining()) { buffer.get(it) } }

    override fun toString() = content.getValue("name").jsonPrimitive.content
}

class GoldenCodecTest {
    @ParameterizedTest
    @MethodSource("cases")
    fun `features become exactly Python's bytes`(case: GoldenCase) {
        val quantized = quantize(case.floats("features"), case.shape, case.bits)
        val message = encode(quantized)
        assertContentEquals(case.bytes("scales"), message.scales.toByteArray())
        assertContentEquals(case.bytes("zero_points"), message.zeroPoints.toByteArray())
        assertContentEquals(case.bytes("packed"), pack(quantized))
        val frame = message.payload.toByteArray()
        assertEquals(case.bytes("packed").size.toLong(), Zstd.getFrameContentSize(frame))
        assertContentEquals(case.bytes("packed"), Zstd.decompress(frame, case.bytes("packed").size))
    }

    @ParameterizedTest
    @MethodSource("cases")
    fun `Python's bytes become exactly its features`(case: GoldenCase) {
        val message = QuantizedFeatures.newBuilder()
            .setBits(case.bits)
            .setScales(ByteString.copyFrom(case.bytes("scales")))
            .setZeroPoints(ByteString.copyFrom(case.bytes("zero_points")))
            .setCompression(Compression.NONE)
            .setPayload(ByteString.copyFrom(case.bytes("packed")))
            .build()
        val expected = case.floats("dequantized").map { it.toRawBits() }
        assertEquals(expected, dequantize(decode(message, case.shape)).map { it.toRawBits() })
    }

    @ParameterizedTest
    @MethodSource("cases")
    fun `a message comes back as it was`(case: GoldenCase) {
        val quantized = quantize(case.floats("features"), case.shape, case.bits)
        val back = decode(encode(quantized), case.shape)
        assertContentEquals(quantized.values, back.values)
        assertContentEquals(quantized.zeroPoints, back.zeroPoints)
        assertTrue(quantized.scales.contentEquals(back.scales))
    }

    companion object {
        @JvmStatic
        fun cases(): Stream<GoldenCase> =
            Json.parseToJsonElement(Files.readAllBytes(Paths.get("../../protocol/golden/codec.json")).decodeToString())
                .jsonArray.map { GoldenCase(it.jsonObject) }.stream()
    }
}
