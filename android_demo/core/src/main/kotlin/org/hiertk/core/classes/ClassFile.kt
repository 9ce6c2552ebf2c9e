/** classes.json: the newest class map in place, and the provisional classes; as the Python device writes it. */
package org.hiertk.core.classes

import kotlinx.serialization.SerialName
import kotlinx.serialization.SerializationException
import kotlinx.serialization.Serializable
import kotlinx.serialization.json.Json
import org.hiertk.core.ProtocolException
import org.hiertk.core.StorageException
import org.hiertk.core.bundle.MAX_CLASSES
import org.hiertk.core.bundle.Manifest
import org.hiertk.core.readBounded
import org.hiertk.core.reasonOf
import org.hiertk.core.writeAtomically
import java.io.IOException
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption

private const val MAX_BYTES = 4 shl 20
private const val SCHEMA_VERSION = 1
private val json = Json { encodeDefaults = true }

/** What a bundle says of its classes. ancestors: hex ids of the bundles that it was grown from. */
data class ExportedClasses(
    val bundleId: String,
    val names: List<String>,
    val capacity: Int,
    val ancestors: Set<String> = emptySet(),
) {
    constructor(manifest: Manifest) : this(
        manifest.bundleIdHex,
        manifest.classes.names,
        manifest.classes.capacity,
        manifest.grownFrom.mapTo(HashSet()) { it.bundleId },
    )

    /** Return the table at export. */
    fun table() = ClassTable(exportedMap(names), emptyMap(), capacity)
}

@Serializable
private class Alias(val name: String, val slot: Int, val since: Long)

@Serializable
private class Registered(val name: String, val slot: Int, val since: Long, val aliases: List<Alias> = emptyList())

@Serializable
private class Provisional(val name: String, val slot: Int)

@Serializable
private class Content(
    @SerialName("schema_version") val schemaVersion: Int,
    @SerialName("bundle_id") val bundleId: String,
    val version: Long,
    val classes: List<Registered>,
    val provisional: List<Provisional> = emptyList(),
)

/** Write the table, whole or not at all. Throws StorageException. */
internal fun writeTable(file: Path, table: ClassTable, exported: ExportedClasses) {
    val content = Content(
        SCHEMA_VERSION,
        exported.bundleId,
        table.map.version,
        table.map.slots.map { one ->
            Registered(one.name, one.slot, one.since, one.aliases.map { Alias(it.name, it.slot, it.since) })
        },
        table.provisional.map { (name, slot) -> Provisional(name, slot) },
    )
    writeAtomically(file, json.encodeToString(Content.serializer(), content).toByteArray())
}

/**
 * Read the table; null without a file, and where it is damaged: it is set aside then.
 *
 * Of another bundle's file, unless this one was grown from it, only the names of the provisional classes
 * are taken. Throws StorageException.
 */
internal fun readTable(file: Path, exported: ExportedClasses): ClassTable? {
    try {
        if (!Files.exists(file)) return null
        if (Files.size(file) <= MAX_BYTES) {
            parsed(String(readBounded(file, MAX_BYTES), Charsets.UTF_8), exported)?.let { return it }
        }
        // The broker has the map, and the other stores know the names of the provisional classes.
        Files.move(file, file.resolveSibling("${file.fileName}.damaged"), StandardCopyOption.REPLACE_EXISTING)
        return null
    } catch (error: IOException) {
        throw StorageException("cannot read $file: ${reasonOf(error)}", error)
    }
}

private fun parsed(text: String, exported: ExportedClasses): ClassTable? =
    try {
        tableOf(json.decodeFromString(Content.serializer(), text), exported)
    } catch (_: SerializationException) {
        null
    } catch (_: ProtocolException) {
        null
    }

private fun tableOf(content: Content, exported: ExportedClasses): ClassTable? {
    if (content.schemaVersion != SCHEMA_VERSION) return null
    val own = content.provisional.associate { cleanClassName(it.name) to it.slot }
    val isOwn = content.bundleId == exported.bundleId
    if (!isOwn && content.bundleId !in exported.ancestors) {
        val table = exported.table()
        return table.copy(provisional = own).after(table.map)
    }
    val read = ClassTable(checkedMap(mapOf(content), MAX_CLASSES), own, exported.capacity)
    // What had no slot in the bundle that this one was grown from may have one here.
    val table = if (isOwn) read else read.after(read.map)
    return table.takeIf(::isConsistent)
}

private fun mapOf(content: Content) = ClassMap(
    content.version,
    content.classes.map { one ->
        ClassSlot(one.slot, one.name, one.since, one.aliases.map { ClassAlias(it.name, it.slot, it.since) })
    },
)

private fun isConsistent(table: ClassTable): Boolean {
    val slots = table.provisional.values
    return slots.toSet().size == slots.size &&
        slots.all { it in 0 until table.capacity && it !in table.map.bySlot } &&
        table.provisional.keys.none(table::isRegistered)
}
