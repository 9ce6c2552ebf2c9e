/** Unpacking a bundle zip that a user picked: it takes no more room than its manifest says. */
package org.hiertk.core.bundle

import java.io.IOException
import java.io.InputStream
import java.nio.file.Files
import java.nio.file.Path
import java.security.MessageDigest
import java.util.zip.ZipEntry
import java.util.zip.ZipInputStream
import org.hiertk.core.BundleException
import org.hiertk.core.StorageException
import org.hiertk.core.deleteTree
import org.hiertk.core.reasonOf
import org.hiertk.core.writeFolderAtomically

private const val SIGNATURE = "manifest.sig"
private const val MAX_SIGNATURE_BYTES = 4096L
private const val MAX_FOLDERS = 64
private const val CHUNK = 1 shl 16
private val LEFT_OVER = Regex("""\.[0-9a-f]{16}\.(tmp|old)""")

/**
 * Unpack a bundle zip into the folder parent/{bundleName}, without cloud/, and open it.
 *
 * A whole bundle of that name is kept. manifest.json comes first in the zip, as hiertk writes it:
 * all else is measured by it. The caller closes the stream. Throws BundleException for what is no
 * bundle, StorageException if there is no room; then nothing is left of it.
 */
fun unpackBundle(zip: InputStream, parent: Path): Bundle {
    val reader = ZipInputStream(zip)
    val manifestBytes = reading { readManifest(reader) }
    val manifest = parseManifest(manifestBytes, "$MANIFEST in the zip")
    val folder = parent.resolve(manifest.bundleName)
    wholeBundle(folder)?.let { return it }
    makeRoom(parent, manifest)
    writeFolderAtomically(folder) { temporary ->
        Files.write(temporary.resolve(MANIFEST), manifestBytes)
        Unpacking(reader, manifest, temporary).unpack()
    }
    return openBundle(folder)
}

/** The entries after the manifest, one after another. */
private class Unpacking(private val zip: ZipInputStream, private val manifest: Manifest, private val folder: Path) {
    private val waiting = manifest.files.keys.toMutableSet()
    private val chunk = ByteArray(CHUNK)

    fun unpack() {
        var folders = 0
        while (true) {
            val entry = reading { zip.nextEntry } ?: break
            when {
                entry.isDirectory -> if (++folders > MAX_FOLDERS) refuse(entry, "too many folders") else skip(entry, 0)
                entry.name == SIGNATURE -> skip(entry, MAX_SIGNATURE_BYTES)
                !waiting.remove(entry.name) -> refuse(entry, "not in the manifest, or there twice")
                else -> unpack(entry, manifest.files.getValue(entry.name))
            }
        }
        waiting.firstOrNull(::isForDevices)?.let { throw BundleException("$it is missing in the zip: $COPY_AGAIN") }
    }

    private fun unpack(entry: ZipEntry, info: FileInfo) {
        if (!isForDevices(entry.name)) {
            skip(entry, info.size)
            return
        }
        // The manifest has this very name, so it stays inside.
        val target = folder.resolve(entry.name)
        Files.createDirectories(target.parent)
        val digest = MessageDigest.getInstance("SHA-256")
        val size = Files.newOutputStream(target).use { output ->
            forEachChunk(entry, info.size) { read ->
                output.write(chunk, 0, read)
                digest.update(chunk, 0, read)
            }
        }
        if (size != info.size) refuse(entry, "$size bytes, the manifest says ${info.size}")
        if (hex(digest.digest()) != info.sha256) refuse(entry, "its checksum is not the manifest's")
    }

    private fun skip(entry: ZipEntry, limit: Long) {
        forEachChunk(entry, limit) { }
    }

    private inline fun forEachChunk(entry: ZipEntry, limit: Long, take: (Int) -> Unit): Long {
        var size = 0L
        while (true) {
            val read = reading { zip.read(chunk) }
            if (read < 0) return size
            size += read
            if (size > limit) refuse(entry, "more than the $limit bytes that it may have")
            take(read)
        }
    }
}

private fun readManifest(zip: ZipInputStream): ByteArray {
    val entry = zip.nextEntry ?: throw BundleException("this is not a zip, or an empty one: $COPY_AGAIN")
    if (entry.name != MANIFEST) {
        throw BundleException(
            "the zip does not begin with $MANIFEST: take the one that `hiertk export --zip` has written",
        )
    }
    val data = ByteArray(MAX_MANIFEST_BYTES + 1)
    var size = 0
    while (size < data.size) {
        val read = zip.read(data, size, data.size - size)
        if (read < 0) break
        size += read
    }
    return data.copyOf(size) // one byte too many is refused by the parser
}

private fun wholeBundle(folder: Path): Bundle? = try {
    if (Files.exists(folder)) openBundle(folder) else null
} catch (_: BundleException) {
    null // damaged: replaced
}

/** Delete what a crash has left of an earlier attempt, and see that the files will fit. */
private fun makeRoom(parent: Path, manifest: Manifest) {
    val needed = manifest.files.filterKeys(::isForDevices).values.sumOf { it.size }
    val free = try {
        Files.createDirectories(parent)
        Files.newDirectoryStream(parent).use { names ->
            names.filter { LEFT_OVER.matches(it.fileName.toString()) }.forEach(::deleteTree)
        }
        parent.toFile().usableSpace // Android has no FileStore
    } catch (error: IOException) {
        throw StorageException("cannot write $parent: ${reasonOf(error)}: is the storage full?", error)
    }
    if (needed > free) {
        throw StorageException("the bundle needs ${needed shr 20} MiB, ${free shr 20} are free: make room")
    }
}

/** Read from the zip; what Java says of a zip that it does not like becomes a BundleException. */
private inline fun <T> reading(read: () -> T): T = try {
    read()
} catch (error: IOException) {
    throw BundleException("the zip cannot be read: ${reasonOf(error)}: $COPY_AGAIN", error)
} catch (error: IllegalArgumentException) { // a name that is no text, on older Android
    throw BundleException("the zip cannot be read: ${error.message}: $COPY_AGAIN", error)
}

private fun refuse(entry: ZipEntry, why: String): Nothing =
    throw BundleException("'${entry.name.take(80)}' in the zip: $why: $COPY_AGAIN")
