/** Writing files and folders so that a crash leaves the old one or the new one, never half. */
package org.hiertk.core

import java.io.BufferedOutputStream
import java.io.FileOutputStream
import java.io.IOException
import java.io.OutputStream
import java.nio.channels.FileChannel
import java.nio.file.AccessDeniedException
import java.nio.file.FileSystemException
import java.nio.file.FileVisitResult
import java.nio.file.Files
import java.nio.file.LinkOption
import java.nio.file.NoSuchFileException
import java.nio.file.Path
import java.nio.file.SimpleFileVisitor
import java.nio.file.StandardCopyOption
import java.nio.file.StandardOpenOption
import java.nio.file.attribute.BasicFileAttributes

/** Write a file atomically; one writer at a time for each file. Throws StorageException. */
fun writeAtomically(target: Path, data: ByteArray) = writeAtomically(target) { it.write(data) }

/** Write a file atomically, as `write` puts it into a buffered stream. Throws StorageException. */
fun writeAtomically(target: Path, write: (OutputStream) -> Unit) {
    val temporary = temporaryOf(target)
    try {
        Files.createDirectories(parentOf(target))
        FileOutputStream(temporary.toFile()).use { file ->
            val buffered = BufferedOutputStream(file)
            write(buffered)
            buffered.flush()
            file.fd.sync()
        }
        Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE)
        syncFolder(parentOf(target))
    } catch (error: IOException) {
        throw cannotWrite(target, error)
    } finally {
        temporary.toFile().delete() // after the move there is none
    }
}

/**
 * Fill a temporary folder that takes the place of `target` if `fill` succeeds.
 *
 * A folder that was there is replaced; a crash between two renames leaves none. Throws
 * StorageException.
 */
fun writeFolderAtomically(target: Path, fill: (Path) -> Unit) {
    val temporary = temporaryOf(target)
    try {
        deleteTree(temporary) // a crash may have left one
        Files.createDirectories(temporary)
        fill(temporary)
        syncTree(temporary)
        takePlace(temporary, target)
    } catch (error: IOException) {
        throw cannotWrite(target, error)
    } finally {
        temporary.toFile().deleteRecursively() // throws nothing that would hide the error above
    }
}

/** Return the temporary file or folder beside `target`; a crash may leave one. */
fun temporaryOf(target: Path): Path = target.resolveSibling(".${target.fileName}.tmp")

/** Delete a file or a folder with all in it, if it is there; links are not followed. Throws IOException. */
fun deleteTree(path: Path) {
    if (!Files.exists(path, LinkOption.NOFOLLOW_LINKS)) return
    Files.walkFileTree(path, object : SimpleFileVisitor<Path>() {
        override fun visitFile(file: Path, attributes: BasicFileAttributes): FileVisitResult = delete(file)

        override fun postVisitDirectory(folder: Path, error: IOException?): FileVisitResult =
            if (error == null) delete(folder) else throw error

        private fun delete(one: Path): FileVisitResult {
            Files.delete(one)
            return FileVisitResult.CONTINUE
        }
    })
}

/** Make creations, renames and deletions inside a folder survive a power cut. Throws IOException. */
fun syncFolder(folder: Path) {
    val channel = try {
        FileChannel.open(folder, StandardOpenOption.READ)
    } catch (error: IOException) {
        if (!Files.isDirectory(folder)) throw error
        return // a system that opens no folders, as Windows: the files themselves are synced
    }
    channel.use { it.force(true) }
}

/** Read a plain file of at most `limit` bytes. Throws IOException. */
fun readBounded(file: Path, limit: Int): ByteArray {
    // A pipe with a file's name would block for ever.
    if (!Files.isRegularFile(file)) {
        throw if (Files.exists(file)) IOException("not a plain file") else NoSuchFileException(file.toString())
    }
    val data = ByteArray(minOf(Files.size(file), limit.toLong() + 1).toInt())
    Files.newInputStream(file).use { stream ->
        var read = 0
        while (read < data.size) {
            val more = stream.read(data, read, data.size - read)
            if (more < 0) throw IOException("it became shorter while it was read")
            read += more
        }
    }
    if (data.size > limit) throw IOException("more than $limit bytes")
    return data
}

/** Return why the disk refused, in a few words without the path. */
fun reasonOf(error: IOException): String = when (error) {
    is NoSuchFileException -> "no such file"
    is AccessDeniedException -> "no permission"
    is FileSystemException -> error.reason ?: error.javaClass.simpleName
    else -> error.message ?: error.javaClass.simpleName
}

private fun cannotWrite(target: Path, error: IOException) =
    StorageException("cannot write $target: ${reasonOf(error)}: is the storage full?", error)

private fun parentOf(path: Path): Path = path.toAbsolutePath().parent

private fun syncTree(folder: Path) {
    Files.walkFileTree(folder, object : SimpleFileVisitor<Path>() {
        override fun visitFile(file: Path, attributes: BasicFileAttributes): FileVisitResult {
            FileChannel.open(file, StandardOpenOption.WRITE).use { it.force(true) }
            return FileVisitResult.CONTINUE
        }

        override fun postVisitDirectory(folder: Path, error: IOException?): FileVisitResult {
            syncFolder(folder)
            return FileVisitResult.CONTINUE
        }
    })
}

private fun takePlace(temporary: Path, target: Path) {
    val outgoing = target.resolveSibling(".${target.fileName}.old")
    deleteTree(outgoing)
    if (Files.exists(target, LinkOption.NOFOLLOW_LINKS)) Files.move(target, outgoing, StandardCopyOption.ATOMIC_MOVE)
    Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE)
    syncFolder(parentOf(target))
    deleteTree(outgoing)
}
