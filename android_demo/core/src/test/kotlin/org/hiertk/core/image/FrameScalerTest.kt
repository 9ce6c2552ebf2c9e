package org.hiertk.core.image

import java.nio.ByteBuffer
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.Paths
import java.util.stream.Stream
import kotlin.math.abs
import kotlin.random.Random
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.constraints.IntRange
import org.hiertk.core.ConfigException
import org.hiertk.core.bundle.InputInfo
import org.junit.jupiter.api.Test
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.MethodSource

private val IMAGES: Path = Paths.get("src/test/resources/images")
private const val WIDTH = 91 // of the frame
private const val HEIGHT = 107

private fun read(name: String): ByteArray = Files.readAllBytes(IMAGES.resolve(name))

private fun argb(rgb: ByteArray) = IntArray(rgb.size / 3) {
    -0x1000000 or ((rgb[3 * it].toInt() and 255) shl 16) or ((rgb[3 * it + 1].toInt() and 255) shl 8) or
        (rgb[3 * it + 2].toInt() and 255)
}

/** Levels between two pictures: the most, and on average. */
private fun differences(one: ByteArray, other: ByteArray): Pair<Int, Double> {
    val all = one.zip(other) { a, b -> abs((a.toInt() and 255) - (b.toInt() and 255)) }
    return all.max() to all.average()
}

/** A picture of the resources, and what Python made of it, turned by `degrees`. */
class GoldenPicture(val name: String, val width: Int, val height: Int, val size: Int, val degrees: Int) {
    override fun toString() = "$name, $size, $degrees degrees"
}

/** The frame of the resources, with its bytes as far apart as a camera may have them. */
fun cameraFrame(pixelStride: Int = 1, padding: Int = 0, isDirect: Boolean = false): YuvFrame {
    fun plane(name: String, width: Int, stride: Int): Plane {
        val tight = read("frame.$name")
        val rowStride = width * stride + padding
        val rows = tight.size / width
        val size = (rows - 1) * rowStride + (width - 1) * stride + 1 // the last row may end early
        val bytes = if (isDirect) ByteBuffer.allocateDirect(size) else ByteBuffer.allocate(size)
        for (index in tight.indices) bytes.put(index / width * rowStride + index % width * stride, tight[index])
        return Plane(bytes, rowStride, stride)
    }
    val half = (WIDTH + 1) / 2
    return YuvFrame(WIDTH, HEIGHT, plane("y", WIDTH, 1), plane("u", half, pixelStride), plane("v", half, pixelStride))
}

class FrameScalerTest {
    private val output = ByteArray(32 * 32 * 3)

    @ParameterizedTest
    @MethodSource("pictures")
    fun `a picture becomes what Python makes of it`(picture: GoldenPicture) {
        val made = ByteArray(3 * picture.size * picture.size)
        FrameScaler(picture.size).scale(argb(read("${picture.name}.rgb")), picture.width, picture.height, picture.degrees, made)
        assertContentEquals(read("${picture.name}_${picture.size}_${picture.degrees}.rgb"), made)
    }

    @Test
    fun `a camera's frame becomes what exact arithmetic and Pillow make of it, within a level`() {
        FrameScaler(32).scale(cameraFrame(), 90, output)
        val (most, average) = differences(read("frame_32_90.rgb"), output)
        assertTrue(most <= 1 && average <= 0.1, "up to $most levels, $average on average")
    }

    @Test
    fun `strides, padding and direct buffers change nothing`() {
        FrameScaler(32).scale(cameraFrame(), 0, output)
        val frames = listOf(cameraFrame(pixelStride = 2, padding = 13), cameraFrame(padding = 5, isDirect = true))
        for (frame in frames) {
            val made = ByteArray(output.size)
            val scaler = FrameScaler(32)
            repeat(2) { scaler.scale(frame, 0, made) } // a buffer's position does not matter
            assertContentEquals(output, made)
        }
    }

    @Test
    fun `one scaler takes frames of any size, one after another`() {
        val scaler = FrameScaler(32)
        val portrait = argb(read("portrait.rgb"))
        scaler.scale(IntArray(300 * 200), 300, 200, 0, ByteArray(output.size))
        scaler.scale(IntArray(5 * 400), 5, 400, 270, ByteArray(output.size))
        scaler.scale(portrait, 91, 107, 0, output)
        assertContentEquals(read("portrait_32_0.rgb"), output)
    }

    @Property(tries = 100)
    fun `a picture of the right size stays as it is`(@ForAll seed: Long, @ForAll @IntRange(min = 1, max = 40) size: Int) {
        val rgb = Random(seed).nextBytes(3 * size * size)
        val made = ByteArray(rgb.size)
        FrameScaler(size).scale(argb(rgb), size, size, 0, made)
        assertContentEquals(rgb, made)
    }

    @Property(tries = 100)
    fun `an even colour stays that colour`(
        @ForAll colour: Int, @ForAll @IntRange(min = 1, max = 300) width: Int, @ForAll @IntRange(min = 1, max = 300) height: Int,
    ) {
        FrameScaler(32).scale(IntArray(width * height) { colour }, width, height, 180, output)
        val expected = byteArrayOf((colour shr 16).toByte(), (colour shr 8).toByte(), colour.toByte())
        assertTrue(output.indices.all { output[it] == expected[it % 3] })
    }

    @Test
    fun `what does not fit is refused`() {
        val scaler = FrameScaler(32)
        val pixels = IntArray(100)
        assertFailsWith<ConfigException> { scaler.scale(pixels, 10, 10, 45, output) }
        assertFailsWith<ConfigException> { scaler.scale(pixels, 10, 11, 0, output) }
        assertFailsWith<ConfigException> { scaler.scale(pixels, 0, 10, 0, output) }
        assertFailsWith<ConfigException> { scaler.scale(pixels, 1 shl 15, 1, 0, output) }
        assertFailsWith<ConfigException> { scaler.scale(pixels, 10, 10, 0, ByteArray(10)) }
        val small = Plane(ByteBuffer.allocate(20), 10, 1)
        assertFailsWith<ConfigException> { scaler.scale(YuvFrame(10, 10, small, small, small), 0, output) }
    }

    @Test
    fun `an input is exactly Python's`() {
        val normalizer = InputNormalizer(InputInfo(32, listOf(0.485, 0.456, 0.406), listOf(0.229, 0.224, 0.225)))
        val inputs = FloatArray(2 * output.size)
        normalizer.normalize(read("portrait_32_0.rgb"), inputs, output.size)
        val expected = ByteBuffer.wrap(read("portrait_input.f32")).order(java.nio.ByteOrder.LITTLE_ENDIAN)
        for (index in output.indices) {
            assertEquals(expected.getFloat(4 * index).toRawBits(), inputs[output.size + index].toRawBits())
            assertEquals(0f, inputs[index])
        }
        assertFailsWith<ConfigException> { normalizer.normalize(output, inputs, output.size + 1) }
        assertFailsWith<ConfigException> { normalizer.normalize(ByteArray(5), inputs) }
    }

    companion object {
        @JvmStatic
        fun pictures(): Stream<GoldenPicture> =
            Json.parseToJsonElement(read("pictures.json").decodeToString()).jsonArray.map { it.jsonObject }.flatMap { one ->
                fun int(key: String) = one.getValue(key).jsonPrimitive.int
                one.getValue("rotations").jsonArray.map {
                    GoldenPicture(one.getValue("name").jsonPrimitive.content, int("width"), int("height"), int("size"), it.jsonPrimitive.int)
                }
            }.stream()
    }
}
