/** The data budget's book: what went over the wire, in a small file that outlives restarts. */
package org.hiertk.core.link

import java.io.IOException
import java.nio.file.Files
import java.nio.file.Path
import org.hiertk.core.StorageException
import org.hiertk.core.readBounded
import org.hiertk.core.writeAtomically

private const val FLUSH_EVERY_MILLIS = 15_000L
private const val MAX_FILE_BYTES = 4096
private const val MOST_LINES = 64
private const val MOST_BYTES = 1L shl 50
private const val LATEST_HOUR = 1L shl 40
private const val HEAD = "hiertk wire hours 1"

/**
 * The bytes of each hour. For the session's thread only.
 *
 * A killed process forgets at most the newest quarter of a minute. A book that cannot be read is
 * begun anew: it is the user's own budget that it guards.
 */
internal class WireBook(private val file: Path, private val wall: () -> Long = System::currentTimeMillis) {
    private val hours = WireHours(read(file))
    private var flushed = hours.hours
    private var flushDue = 0L

    fun add(bytes: Long) = hours.add(bytes, wall())

    /** Return the bytes of the newest 24 hours. */
    fun day(): Long = hours.day(wall())

    /** Write the book now and then, if it has changed. Throws StorageException. */
    fun flushIfDue(now: Long) {
        if (now >= flushDue) {
            flushDue = now + FLUSH_EVERY_MILLIS
            flush()
        }
    }

    /** Write the book, if it has changed. Throws StorageException. */
    fun flush() {
        val found = hours.hours
        if (found == flushed) return
        val lines = found.map { (hour, bytes) -> "$hour $bytes" }
        writeAtomically(file, (listOf(HEAD) + lines).joinToString("\n", postfix = "\n").toByteArray())
        flushed = found
    }
}

private fun read(file: Path): Map<Long, Long> {
    if (!Files.exists(file)) return emptyMap()
    val text = try {
        String(readBounded(file, MAX_FILE_BYTES))
    } catch (error: IOException) {
        throw StorageException("$file: ${error.message}: the data budget cannot be kept", error)
    }
    val lines = text.lines().filter { it.isNotEmpty() }
    if (lines.firstOrNull() != HEAD || lines.size > MOST_LINES) return emptyMap()
    val pairs = lines.drop(1).map { line -> line.split(' ').map { it.toLongOrNull() } }
    val isSound = pairs.all { pair ->
        val hour = pair.firstOrNull()
        val bytes = pair.getOrNull(1)
        pair.size == 2 && hour != null && bytes != null && hour in 0..LATEST_HOUR && bytes in 0..MOST_BYTES
    }
    return if (isSound) pairs.associate { (hour, bytes) -> (hour ?: 0) to (bytes ?: 0) } else emptyMap()
}
