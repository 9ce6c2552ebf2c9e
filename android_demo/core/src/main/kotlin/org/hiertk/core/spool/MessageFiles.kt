/**
 * The spool's messages on disk: a file each, at most 1,000 in a folder.
 *
 * All that the spool must know of a message without reading it is in the file's name, so that opening a
 * spool lists folders and reads nothing. The file begins with a CRC32 of the name's numbers and the message.
 */
package org.hiertk.core.spool

import org.hiertk.core.readBounded
import org.hiertk.core.syncFolder
import java.io.FileOutputStream
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption
import java.util.zip.CRC32

/** A message that is held. size: bytes. storedAt: seconds that the app had run with this spool. */
internal data class Entry(val seq: Long, val size: Int, val samples: Int, val storedAt: Long) {
    val fileName: String get() = "$seq-$size-$samples-$storedAt$ENDING"
}

internal class MessageFiles(folder: Path) {
    private val root = folder.resolve("messages")
    private val aside = folder.resolve("damaged")

    /** Return what is held, and delete what was being written. maxBytes: of a message. Throws IOException. */
    fun list(maxBytes: Long): List<Entry> {
        Files.createDirectories(root)
        val found = ArrayList<Entry>()
        for (group in children(root)) {
            if (!Files.isDirectory(group)) continue
            val number = group.fileName.toString()
            for (file in children(group)) {
                val name = file.fileName.toString()
                val entry = entryOf(name)
                when {
                    name.endsWith(TEMPORARY) -> Files.delete(file)
                    // Not the spool's: whoever put it there may keep it.
                    entry == null || entry.fileName != name || "${entry.seq / GROUP}" != number -> {}
                    entry.size <= maxBytes -> found.add(entry)
                    else -> Files.delete(file)
                }
            }
        }
        return found.sortedBy { it.seq }.distinctBy { it.seq }
    }

    /** Write a message to a temporary file, down to the disk. Throws IOException, and leaves nothing then. */
    fun prepare(entry: Entry, message: ByteArray) {
        makeGroup(entry)
        val temporary = temporaryOf(entry)
        try {
            FileOutputStream(temporary.toFile()).use { file ->
                file.write(headOf(entry, message))
                file.write(message)
                file.fd.sync()
            }
        } catch (error: IOException) {
            giveUp(entry)
            throw error
        }
    }

    /** Give a prepared message its name: from here on it is held. Throws IOException. */
    fun commit(entry: Entry) {
        val file = fileOf(entry)
        Files.move(temporaryOf(entry), file, StandardCopyOption.ATOMIC_MOVE)
        syncFolder(file.parent)
    }

    /** Delete a message that was not put after all. */
    fun giveUp(entry: Entry) {
        temporaryOf(entry).toFile().delete() // what stays is deleted at the next opening
        fileOf(entry).toFile().delete()
    }

    /** Return a message; null if it is not as it was stored. Throws IOException. */
    fun read(entry: Entry): ByteArray? {
        val file = fileOf(entry)
        if (!Files.isRegularFile(file) || Files.size(file) != HEAD_BYTES.toLong() + entry.size) return null
        val data = readBounded(file, HEAD_BYTES + entry.size)
        if (data.size != HEAD_BYTES + entry.size) return null
        val message = data.copyOfRange(HEAD_BYTES, data.size)
        return message.takeIf { headOf(entry, it).contentEquals(data.copyOf(HEAD_BYTES)) }
    }

    /** Delete a message, if it is there. Throws IOException. */
    fun delete(entry: Entry) {
        Files.deleteIfExists(fileOf(entry))
    }

    /** Move a damaged message out of the way, for whoever wants to look into it; some are kept. */
    fun setAside(entry: Entry) {
        if (!Files.isRegularFile(fileOf(entry))) return
        Files.createDirectories(aside)
        val target = aside.resolve("${entry.seq % MOST_ASIDE}$ENDING")
        Files.move(fileOf(entry), target, StandardCopyOption.REPLACE_EXISTING)
    }

    /** Delete the folders below that of a number, if they are empty. Throws IOException. */
    fun deleteEmptyGroups(seqs: Collection<Long>, below: Long) {
        for (group in seqs.mapTo(HashSet()) { it / GROUP }) {
            val folder = root.resolve(group.toString())
            if (group < below / GROUP && Files.isDirectory(folder) && children(folder).isEmpty()) Files.delete(folder)
        }
    }

    private fun makeGroup(entry: Entry) {
        val group = fileOf(entry).parent
        if (Files.isDirectory(group)) return
        Files.createDirectories(group)
        syncFolder(root)
    }

    private fun fileOf(entry: Entry) = root.resolve((entry.seq / GROUP).toString()).resolve(entry.fileName)

    private fun temporaryOf(entry: Entry) = fileOf(entry).resolveSibling("${entry.seq}$TEMPORARY")
}

private const val ENDING = ".message"
private const val TEMPORARY = ".tmp"
private const val GROUP = 1000
private const val MOST_ASIDE = 16
private const val HEAD_BYTES = 8
private const val MAGIC = 0x484b5331 // HKS1
private const val NUMBERS_BYTES = 24
private val NAME = Regex("""([1-9]\d{0,17})-(\d{1,9})-(\d{1,9})-(\d{1,18})\.message""")

private fun entryOf(name: String): Entry? {
    val (seq, size, samples, storedAt) = NAME.matchEntire(name)?.destructured ?: return null
    return Entry(seq.toLong(), size.toInt(), samples.toInt(), storedAt.toLong())
}

private fun headOf(entry: Entry, message: ByteArray): ByteArray {
    val numbers = ByteBuffer.allocate(NUMBERS_BYTES)
    numbers.putLong(entry.seq).putInt(entry.size).putInt(entry.samples).putLong(entry.storedAt)
    val crc = CRC32()
    crc.update(numbers.array(), 0, NUMBERS_BYTES)
    crc.update(message, 0, message.size)
    return ByteBuffer.allocate(HEAD_BYTES).putInt(MAGIC).putInt(crc.value.toInt()).array()
}

private fun children(folder: Path): List<Path> = Files.newDirectoryStream(folder).use { it.toList() }
