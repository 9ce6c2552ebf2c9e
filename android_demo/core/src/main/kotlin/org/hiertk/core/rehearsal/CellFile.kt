/**
 * Images in a file of cells of one size, each overwritten where it is.
 *
 * Head and pixels have a CRC32 each, so that a torn write costs the one image in its cell. Opening reads the
 * heads alone.
 */
package org.hiertk.core.rehearsal

import java.io.RandomAccessFile
import java.nio.ByteBuffer
import java.nio.file.Path
import java.util.zip.CRC32

/** Bytes of a cell beside its pixels. */
internal const val HEAD_BYTES = 32

/** What is stored with the pixels. label: stands for the class. number: of arrival. seen: of its class till then. */
internal data class Head(val label: Int, val number: Long, val seen: Long)

/** What a cell holds. */
internal sealed class Content {
    object Free : Content()

    object Damaged : Content()

    class Held(val head: Head) : Content()
}

/** One owner at a time; everything throws IOException. */
internal class CellFile(path: Path, private val rawBytes: Int) : AutoCloseable {
    private val file = RandomAccessFile(path.toFile(), "rw")
    private val cellBytes = HEAD_BYTES + rawBytes
    private val buffer = ByteArray(cellBytes)

    /** The cells that the file has; a cell that is cut off counts. */
    val count: Int get() = minOf(Int.MAX_VALUE.toLong(), (file.length() + cellBytes - 1) / cellBytes).toInt()

    /** Return what a cell holds by its head; its pixels are not looked at. */
    fun content(cell: Int): Content {
        val wanted = place(cell) + HEAD_BYTES
        if (file.length() < wanted) return Content.Damaged
        file.seek(place(cell))
        file.readFully(buffer, 0, HEAD_BYTES)
        if ((0 until HEAD_BYTES).all { buffer[it] == 0.toByte() }) return Content.Free
        val head = ByteBuffer.wrap(buffer, 0, HEAD_BYTES)
        if (head.getInt(0) != checksum(CHECKSUM_BYTES, HEAD_BYTES)) return Content.Damaged
        return Content.Held(Head(head.getInt(LABEL), head.getLong(NUMBER), head.getLong(SEEN)))
    }

    /** Overwrite a cell. pixels: rawBytes of them. */
    fun write(cell: Int, head: Head, pixels: ByteArray) {
        require(pixels.size == rawBytes)
        pixels.copyInto(buffer, HEAD_BYTES)
        val bytes = ByteBuffer.wrap(buffer)
        bytes.putInt(LABEL, head.label).putLong(NUMBER, head.number).putLong(SEEN, head.seen)
        bytes.putInt(PIXELS_CHECKSUM, checksum(HEAD_BYTES, cellBytes)).putInt(UNUSED, 0)
        bytes.putInt(0, checksum(CHECKSUM_BYTES, HEAD_BYTES))
        file.seek(place(cell))
        file.write(buffer)
    }

    /** Return the pixels of a cell; null if they, or its head, are not as they were written. */
    fun pixels(cell: Int): ByteArray? {
        if (file.length() < place(cell) + cellBytes || content(cell) !is Content.Held) return null
        file.readFully(buffer, HEAD_BYTES, rawBytes)
        if (ByteBuffer.wrap(buffer).getInt(PIXELS_CHECKSUM) != checksum(HEAD_BYTES, cellBytes)) return null
        return buffer.copyOfRange(HEAD_BYTES, cellBytes)
    }

    /** Overwrite a cell with zeros. */
    fun wipe(cell: Int) {
        buffer.fill(0)
        file.seek(place(cell))
        file.write(buffer)
    }

    /** Cut the file off behind so many cells. */
    fun truncate(cells: Int) {
        if (file.length() > place(cells)) file.setLength(place(cells))
    }

    /** Make everything survive a power cut. */
    fun sync() = file.fd.sync()

    override fun close() = file.close()

    private fun place(cell: Int) = cell.toLong() * cellBytes

    private fun checksum(start: Int, stop: Int): Int {
        val crc = CRC32()
        crc.update(buffer, start, stop - start)
        return crc.value.toInt()
    }

    private companion object {
        const val CHECKSUM_BYTES = 4
        const val LABEL = 4
        const val NUMBER = 8
        const val SEEN = 16
        const val PIXELS_CHECKSUM = 24
        const val UNUSED = 28
    }
}
