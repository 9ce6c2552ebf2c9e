/** The spool's counts on disk: written before a message's file is deleted, whole or not at all. */
package org.hiertk.core.spool

import kotlinx.serialization.SerializationException
import kotlinx.serialization.json.Json
import org.hiertk.core.readBounded
import org.hiertk.core.writeAtomically
import java.nio.file.Files
import java.nio.file.Path

private const val MAX_BYTES = 4 shl 20
private val json = Json { encodeDefaults = true }

internal class CountsFile(folder: Path) {
    private val file = folder.resolve("counts.json")

    /** Return the counts; null if they are missing or damaged. Throws IOException. */
    fun read(): Counts? {
        if (!Files.exists(file) || Files.size(file) > MAX_BYTES) return null
        val text = String(readBounded(file, MAX_BYTES), Charsets.UTF_8)
        return try {
            json.decodeFromString(Counts.serializer(), text).takeIf { it.isPossible() }
        } catch (_: SerializationException) {
            null
        }
    }

    /** Write the counts. Throws StorageException. */
    fun write(counts: Counts) =
        writeAtomically(file, json.encodeToString(Counts.serializer(), counts).toByteArray())
}
