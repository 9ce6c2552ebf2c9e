/** A table of a flatbuffer, as far as the engine's checkpoints need it; every access stays inside the file. */
package org.hiertk.learner.ort

import java.nio.ByteBuffer

/** Bytes of the file: where they begin, and how many there are. */
internal class Span(val start: Int, val length: Int)

/**
 * One table. Fields are named by their number in the schema.
 *
 * Everything here throws IndexOutOfBoundsException for a file that is damaged.
 */
internal class FlatTable(private val file: ByteBuffer, private val at: Int) {
    private val vtable = at - file.getInt(at)
    private val vtableBytes = unsignedShort(vtable)

    fun int(field: Int): Int = place(field)?.let(file::getInt) ?: 0

    fun boolean(field: Int): Boolean = place(field)?.let { file.get(it) != 0.toByte() } ?: false

    fun table(field: Int): FlatTable? = place(field)?.let { FlatTable(file, target(it)) }

    fun tables(field: Int): List<FlatTable> {
        val vector = vector(field, Int.SIZE_BYTES) ?: return emptyList()
        return List(vector.length / Int.SIZE_BYTES) { FlatTable(file, target(vector.start + it * Int.SIZE_BYTES)) }
    }

    fun longs(field: Int): List<Long> {
        val vector = vector(field, Long.SIZE_BYTES) ?: return emptyList()
        return List(vector.length / Long.SIZE_BYTES) { file.getLong(vector.start + it * Long.SIZE_BYTES) }
    }

    fun bytes(field: Int): Span = vector(field, elementBytes = 1, most = Int.MAX_VALUE) ?: Span(0, 0)

    fun text(field: Int): String {
        val vector = vector(field, elementBytes = 1) ?: return ""
        return String(ByteArray(vector.length) { file.get(vector.start + it) })
    }

    /** Where a vector's elements lie; null if the field is not there. */
    private fun vector(field: Int, elementBytes: Int, most: Int = MAX_ELEMENTS): Span? {
        val start = target(place(field) ?: return null)
        val count = file.getInt(start)
        val room = (file.limit() - start - Int.SIZE_BYTES) / elementBytes
        if (count !in 0..minOf(room, most)) throw IndexOutOfBoundsException("a list of $count")
        return Span(start + Int.SIZE_BYTES, count * elementBytes)
    }

    /** Where a field's value lies; null if it is not there, which means 0. */
    fun place(field: Int): Int? {
        val entry = VTABLE_HEAD_BYTES + field * Short.SIZE_BYTES
        if (entry + Short.SIZE_BYTES > vtableBytes) return null
        val offset = unsignedShort(vtable + entry)
        return if (offset == 0) null else at + offset
    }

    /** Where an offset points to: always further on in the file. */
    private fun target(place: Int): Int {
        val offset = file.getInt(place)
        if (offset !in 1 until file.limit() - place) throw IndexOutOfBoundsException("an offset of $offset")
        return place + offset
    }

    private fun unsignedShort(place: Int): Int = file.getShort(place).toInt() and 0xffff

    companion object {
        /** More than any engine lists: tensors, sizes, letters of a name. */
        private const val MAX_ELEMENTS = 1 shl 14
        private const val VTABLE_HEAD_BYTES = 4
        private const val IDENTIFIER_BYTES = 4

        /** Return a file's first table. Throws IndexOutOfBoundsException, also for another kind of file. */
        fun root(file: ByteBuffer, identifier: String): FlatTable {
            val found = String(ByteArray(IDENTIFIER_BYTES) { file.get(Int.SIZE_BYTES + it) }, Charsets.ISO_8859_1)
            if (found != identifier) throw IndexOutOfBoundsException("another kind of file")
            val start = file.getInt(0)
            if (start !in 1 until file.limit()) throw IndexOutOfBoundsException("no beginning")
            return FlatTable(file, start)
        }
    }
}
