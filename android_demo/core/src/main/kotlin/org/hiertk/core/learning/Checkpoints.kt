/**
 * A device's checkpoints: two generations, of which only a whole one is ever taken.
 *
 * A generation is a folder with the learner's own file, notes of the app that belong to it, and the
 * digests of both, so that what a power cut or failing storage has damaged is seen before an engine
 * reads it. Then the generation before it is taken.
 */
package org.hiertk.core.learning

import org.hiertk.core.StorageException
import org.hiertk.core.bundle.hex
import org.hiertk.core.deleteTree
import org.hiertk.core.readBounded
import org.hiertk.core.reasonOf
import org.hiertk.core.temporaryOf
import org.hiertk.core.writeAtomically
import org.hiertk.core.writeFolderAtomically
import java.io.IOException
import java.nio.file.Files
import java.nio.file.Path
import java.security.MessageDigest

/** The generations in a folder, numbered as they were written. One thread at a time. */
class Checkpoints(private val folder: Path) {
    /** A whole generation: the learner's file, and the notes that were saved with it. */
    class Found(val learnerFile: Path, val notes: String)

    /** Return the newest whole generation, null for none; damaged ones are set aside. Throws StorageException. */
    fun newest(): Found? = onDisk {
        removeHalves()
        for (generation in generations()) {
            read(generation)?.let { return@onDisk it }
            setAside(generation)
        }
        null
    }

    /** Write a generation, and remove all but the newest two. Throws StorageException. */
    fun save(learner: EdgeLearner, notes: String): Unit = onDisk {
        Files.createDirectories(folder)
        val number = 1 + (generations().firstOrNull()?.let(::numberOf) ?: 0)
        writeFolderAtomically(folder.resolve(number.toString().padStart(DIGITS, '0'))) { fresh ->
            learner.save(fresh.resolve(LEARNER))
            writeAtomically(fresh.resolve(NOTES), notes.toByteArray())
            writeAtomically(fresh.resolve(DIGESTS), digests(fresh).toByteArray())
        }
        generations().drop(GENERATIONS).forEach(::deleteTree)
    }

    private fun read(generation: Path): Found? = try {
        val told = String(readBounded(generation.resolve(DIGESTS), MAX_DIGESTS_BYTES))
        val notes = readBounded(generation.resolve(NOTES), MAX_NOTES_BYTES)
        if (told == digests(generation)) Found(generation.resolve(LEARNER), String(notes)) else null
    } catch (_: IOException) {
        null // a file of it is missing: damaged, too
    }

    private fun setAside(generation: Path) {
        entries().filter { it.fileName.toString().startsWith(DAMAGED) }.forEach(::deleteTree)
        Files.move(generation, generation.resolveSibling(DAMAGED + generation.fileName))
    }

    /** Remove what a save left behind that was killed. */
    private fun removeHalves() {
        entries()
            .map { folder.resolve(it.fileName.toString().removePrefix(".").removeSuffix(".tmp")) }
            .filter { isGeneration(it) }
            .forEach { deleteTree(temporaryOf(it)) }
    }

    /** The generations, whole or not, the newest first. */
    private fun generations(): List<Path> = entries().filter(::isGeneration).sortedByDescending(::numberOf)

    private fun entries(): List<Path> {
        if (!Files.isDirectory(folder)) return emptyList()
        return Files.newDirectoryStream(folder).use { it.toList() }
    }

    private fun <T> onDisk(work: () -> T): T = try {
        work()
    } catch (error: IOException) {
        throw StorageException("$folder: ${reasonOf(error)}: free some storage of the phone", error)
    }
}

private fun isGeneration(path: Path): Boolean {
    val name = path.fileName.toString()
    return name.length == DIGITS && name.all { it in '0'..'9' }
}

private fun numberOf(generation: Path): Int = generation.fileName.toString().toInt()

/** Return what `sha256sum` prints for a generation's files. */
private fun digests(generation: Path): String =
    listOf(LEARNER, NOTES).joinToString("") { "${sha256(generation.resolve(it))}  $it\n" }

private fun sha256(file: Path): String {
    val digest = MessageDigest.getInstance("SHA-256")
    val block = ByteArray(BLOCK_BYTES)
    Files.newInputStream(file).use { stream ->
        while (true) {
            val count = stream.read(block)
            if (count < 0) break
            digest.update(block, 0, count)
        }
    }
    return hex(digest.digest())
}

private const val GENERATIONS = 2
private const val DIGITS = 9
private const val LEARNER = "learner"
private const val NOTES = "notes"
private const val DIGESTS = "SHA256SUMS"
private const val DAMAGED = "damaged-"
private const val MAX_DIGESTS_BYTES = 1 shl 10
private const val MAX_NOTES_BYTES = 1 shl 20
private const val BLOCK_BYTES = 1 shl 16
