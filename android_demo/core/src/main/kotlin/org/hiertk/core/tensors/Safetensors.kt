/** Reading safetensors files: a header in JSON, and behind it the tensors' bytes. */
package org.hiertk.core.tensors

import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.decodeFromJsonElement
import kotlinx.serialization.json.jsonObject
import org.hiertk.core.BundleException
import org.hiertk.core.onOneLine
import org.hiertk.core.reasonOf
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.FileChannel
import java.nio.file.Path
import java.nio.file.StandardOpenOption

/**
 * The tensors of one file, mapped: only what is asked for takes memory.
 *
 * Throws BundleException, which ends with the advice.
 */
class Safetensors(private val file: Path, private val advice: String = "copy or export the bundle again") {
    @Serializable
    private class Entry(
        val dtype: String,
        val shape: List<Long>,
        @SerialName("data_offsets") val offsets: List<Long>,
    )

    private val bytes: ByteBuffer
    private val dataStart: Int
    private val entries: Map<String, Entry>

    /** What the file says of itself, texts by their names. */
    val metadata: Map<String, String>

    init {
        bytes = map()
        val headerBytes = if (bytes.limit() < Long.SIZE_BYTES) -1 else bytes.getLong(0)
        if (headerBytes !in 2..minOf(MAX_HEADER_BYTES, bytes.limit() - Long.SIZE_BYTES.toLong())) {
            throw damaged("no safetensors header")
        }
        dataStart = Long.SIZE_BYTES + headerBytes.toInt()
        val header = parse(slice(Long.SIZE_BYTES, headerBytes.toInt()))
        entries = header.first
        metadata = header.second
        entries.forEach { (name, entry) -> check(name, entry) }
    }

    /** The names of all tensors. */
    val names: Set<String> get() = entries.keys

    /** Return a tensor's sizes. */
    fun shape(name: String): List<Int> = entry(name).shape.map(Long::toInt)

    /** Return some values of a float32 tensor, in its order; all of them by default. */
    fun floats(name: String, start: Int = 0, count: Int = values(name)): FloatArray {
        val found = values(name, "F32", start, count, Float.SIZE_BYTES).asFloatBuffer()
        return FloatArray(count).also { found.get(it) }
    }

    /** Return a float32 tensor as a whole. */
    fun tensor(name: String): FloatTensor = FloatTensor(shape(name), floats(name))

    /** Return the values of a float64 tensor. */
    fun doubles(name: String): DoubleArray {
        val found = values(name, "F64", 0, values(name), Double.SIZE_BYTES).asDoubleBuffer()
        return DoubleArray(found.remaining()).also { found.get(it) }
    }

    /** Return some values of an int64 tensor; all of them by default. */
    fun longs(name: String, start: Int = 0, count: Int = values(name)): LongArray {
        val found = values(name, "I64", start, count, Long.SIZE_BYTES).asLongBuffer()
        return LongArray(count).also { found.get(it) }
    }

    /** Return some values of a uint8 tensor; all of them by default. */
    fun bytes(name: String, start: Int = 0, count: Int = values(name)): ByteArray {
        val found = values(name, "U8", start, count, Byte.SIZE_BYTES)
        return ByteArray(count).also { found.get(it) }
    }

    private fun values(name: String): Int = shape(name).fold(1) { product, size -> product * size }

    private fun values(name: String, kind: String, start: Int, count: Int, size: Int): ByteBuffer {
        val entry = entry(name)
        val all = values(name)
        if (entry.dtype != kind) throw damaged("$name is ${entry.dtype}, not $kind")
        if (entry.offsets[1] - entry.offsets[0] != all.toLong() * size) {
            throw damaged("$name does not fit its shape")
        }
        require(start >= 0 && count >= 0 && start <= all - count) { "$count values from $start of $all" }
        return slice(dataStart + entry.offsets[0].toInt() + start * size, count * size)
    }

    private fun entry(name: String): Entry = entries[name] ?: throw damaged("no tensor $name")

    private fun parse(header: ByteBuffer): Pair<Map<String, Entry>, Map<String, String>> {
        val text = ByteArray(header.remaining()).also { header.get(it) }
        try {
            val all = Json.parseToJsonElement(String(text)).jsonObject
            val told = all[METADATA]?.let { Json.decodeFromJsonElement<Map<String, String>>(it) }
            return all.minus(METADATA).mapValues { Json.decodeFromJsonElement<Entry>(it.value) } to told.orEmpty()
        } catch (error: IllegalArgumentException) { // the parser's own exceptions are such, too
            throw damaged("no safetensors header", error)
        }
    }

    private fun check(name: String, entry: Entry) {
        val length = (bytes.limit() - dataStart).toLong()
        val isInside = entry.offsets.size == 2 &&
            entry.offsets[0] in 0..length && entry.offsets[1] in entry.offsets[0]..length
        // Each size is bounded by the file's, so that no product of two overflows a Long.
        val product = entry.shape.fold(1L) { product, size ->
            if (size in 0..length && product <= length) product * size else Long.MAX_VALUE
        }
        if (!isInside || product > length) throw damaged("the tensor $name is not inside the file")
    }

    private fun slice(start: Int, length: Int): ByteBuffer {
        val part = bytes.duplicate()
        part.position(start).limit(start + length)
        return part.slice().order(ByteOrder.LITTLE_ENDIAN)
    }

    private fun map(): ByteBuffer = try {
        FileChannel.open(file, StandardOpenOption.READ).use { channel ->
            if (channel.size() > Int.MAX_VALUE) throw IOException("larger than 2 GiB")
            channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size()).order(ByteOrder.LITTLE_ENDIAN)
        }
    } catch (error: IOException) {
        throw damaged(reasonOf(error), error)
    }

    private fun damaged(what: String, cause: Exception? = null) =
        BundleException("$file: ${onOneLine(what, SHOWN)}: $advice", cause)

    private companion object {
        const val MAX_HEADER_BYTES = 1L shl 20
        const val SHOWN = 200
    }
}

internal const val METADATA = "__metadata__"
