package org.hiertk.core.tensors

import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.constraints.IntRange
import org.hiertk.core.BundleException
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.file.Files
import java.nio.file.Path
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals

class SafetensorsTest {
    @TempDir
    lateinit var folder: Path

    @Test
    fun `tensors come with their shapes and values, whole or in part`() {
        val tensors = Safetensors(write(HEADER, VALUES))
        assertEquals(setOf("floats", "longs", "doubles", "bytes"), tensors.names)
        assertEquals(listOf(2, 2), tensors.shape("floats"))
        assertContentEquals(floatArrayOf(1f, 2f, 3f, 4f), tensors.floats("floats"))
        assertContentEquals(floatArrayOf(3f), tensors.floats("floats", 2, 1))
        assertContentEquals(longArrayOf(-7), tensors.longs("longs"))
        assertContentEquals(doubleArrayOf(0.5), tensors.doubles("doubles"))
        assertContentEquals(byteArrayOf(3, -2), tensors.bytes("bytes"))
        assertContentEquals(byteArrayOf(-2), tensors.bytes("bytes", 1, 1))
    }

    @Test
    fun `what is written is read, values aligned`() {
        for (text in listOf("", "1", "12", "\"\n€")) {
            val file = folder.resolve("written")
            val tensors = mapOf(
                "a/1" to FloatTensor(listOf(2, 1), floatArrayOf(-0.5f, Float.MIN_VALUE)),
                "none" to FloatTensor(listOf(0, 3), FloatArray(0)),
                "one" to FloatTensor(emptyList(), floatArrayOf(3e38f)),
            )
            writeSafetensors(file, tensors, mapOf("told" to text))
            val read = Safetensors(file)
            assertEquals(mapOf("told" to text), read.metadata)
            assertEquals(tensors.keys, read.names)
            for ((name, tensor) in tensors) {
                assertEquals(tensor.shape, read.tensor(name).shape)
                assertContentEquals(tensor.values, read.tensor(name).values)
            }
            assertEquals(0, ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN).getLong(0) % 8)
        }
    }

    @Test
    fun `what is asked for and is not so is refused`() {
        val tensors = Safetensors(write(HEADER, VALUES))
        assertThrows<BundleException> { tensors.floats("others") }
        assertThrows<BundleException> { tensors.floats("longs") }
        assertThrows<IllegalArgumentException> { tensors.floats("floats", 3, 2) }
    }

    @Test
    fun `headers that lead out of the file, or are none, are refused`() {
        val headers = listOf(
            "", "[]", "{", "{\"a\": 1}", "{\"__metadata__\": {\"a\": []}}",
            entry("F32", "[1]", "[0,99]"), entry("F32", "[1]", "[-4,0]"), entry("F32", "[1]", "[4,0]"),
            entry("F32", "[1]", "[0]"), entry("F32", "[-1]", "[0,4]"), entry("F32", "[4294967296,4294967296]", "[0,4]"),
        )
        for (header in headers) assertThrows<BundleException>(header) { Safetensors(write(header, VALUES)) }
        assertThrows<BundleException> { Safetensors(write(entry("F32", "[2]", "[0,4]"), VALUES)).floats("a") }
        assertThrows<BundleException> { Safetensors(folder.resolve("missing")) }
        assertThrows<BundleException> { Safetensors(folder) }
        val error = assertThrows<BundleException> { Safetensors(folder.resolve("missing"), "do this") }
        assertEquals("${folder.resolve("missing")}: no such file: do this", error.message)
    }

    @Property(tries = 200)
    fun `a damaged file raises nothing but our error`(
        @ForAll @IntRange(min = 0, max = 200) place: Int, @ForAll value: Byte, @ForAll @IntRange(min = 0, max = 300) length: Int,
    ) {
        val whole = bytes(HEADER, VALUES)
        val damaged = whole.copyOf(minOf(length, whole.size))
        if (place < damaged.size) damaged[place] = value
        val file = Files.write(Files.createTempFile("hiertk", ".safetensors"), damaged)
        try {
            val tensors = Safetensors(file)
            for (name in tensors.names) tensors.floats(name)
        } catch (error: BundleException) {
            assertEquals(true, error.message.orEmpty().contains("$file"))
        } finally {
            Files.delete(file)
        }
    }

    private fun entry(kind: String, shape: String, offsets: String): String =
        """{"a":{"dtype":"$kind","shape":$shape,"data_offsets":$offsets}}"""

    private fun write(header: String, values: ByteArray): Path =
        Files.write(Files.createTempFile(folder, "some", ".safetensors"), bytes(header, values))

    private companion object {
        const val HEADER = """{"__metadata__":{"format":"pt"},"floats":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},""" +
            """"longs":{"dtype":"I64","shape":[1],"data_offsets":[16,24]},"doubles":{"dtype":"F64","shape":[1],"data_offsets":[24,32]},"bytes":{"dtype":"U8","shape":[2],"data_offsets":[32,34]}}"""

        val VALUES: ByteArray = ByteBuffer.allocate(34).order(ByteOrder.LITTLE_ENDIAN)
            .putFloat(1f).putFloat(2f).putFloat(3f).putFloat(4f).putLong(-7).putDouble(0.5).put(3).put(-2).array()

        fun bytes(header: String, values: ByteArray): ByteArray {
            val text = header.toByteArray()
            return ByteBuffer.allocate(8 + text.size + values.size).order(ByteOrder.LITTLE_ENDIAN)
                .putLong(text.size.toLong()).put(text).put(values).array()
        }
    }
}
