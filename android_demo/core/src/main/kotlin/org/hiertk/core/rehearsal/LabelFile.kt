/**
 * What the labels of the stored images stand for.
 *
 * An image is stored with a label, a number that never changes and is never given twice; a small file says
 * which class it stands for, and in which slot. So when a class moves to another slot, or is merged, one
 * small file is written, and no image.
 */
package org.hiertk.core.rehearsal

import kotlinx.serialization.SerialName
import kotlinx.serialization.SerializationException
import kotlinx.serialization.Serializable
import kotlinx.serialization.json.Json
import org.hiertk.core.classes.ClassInSlot
import org.hiertk.core.classes.ClassTable
import org.hiertk.core.readBounded
import org.hiertk.core.writeAtomically
import java.nio.file.Files
import java.nio.file.Path

private const val MAX_BYTES = 4 shl 20
private const val SCHEMA_VERSION = 1
private val json = Json { encodeDefaults = true }

/** What a label stands for. */
@Serializable
internal data class LabelRow(val label: Int, val slot: Int, val name: String, val since: Long)

/** A class's state in one part of the memory. */
@Serializable
internal data class StateRow(val slot: Int, val seen: Long, @SerialName("is_full") val isFull: Boolean)

/** The file's content; it is replaced, never changed. */
@Serializable
internal data class Labels(
    @SerialName("schema_version") val schemaVersion: Int = SCHEMA_VERSION,
    @SerialName("raw_bytes") val rawBytes: Int,
    @SerialName("next_label") val nextLabel: Int = 1,
    val rows: List<LabelRow> = emptyList(),
    val rehearsed: List<StateRow> = emptyList(),
    @SerialName("held_out") val heldOut: List<StateRow> = emptyList(),
) {
    /** The classes by their slots. */
    val known: Map<Int, ClassInSlot> get() = rows.associate { it.slot to ClassInSlot(it.name, it.since) }

    /** Return a label of a class, the newest. */
    fun of(slot: Int): Int? = rows.lastOrNull { it.slot == slot }?.label

    /** Return a label's slot; null if it stands for nothing any more. */
    fun slotOf(label: Int): Int? = rows.firstOrNull { it.label == label }?.slot

    /** Return the labels with one more. */
    fun with(slot: Int, known: ClassInSlot) =
        copy(nextLabel = nextLabel + 1, rows = rows + LabelRow(nextLabel, slot, known.name, known.since))

    /** Return the labels without those of a class. */
    fun without(slot: Int) = copy(
        rows = rows.filter { it.slot != slot },
        rehearsed = rehearsed.filter { it.slot != slot },
        heldOut = heldOut.filter { it.slot != slot },
    )

    /** Return the labels with their classes where a newer table has them; those of lost classes are left out. */
    fun following(table: ClassTable): Labels {
        val moves = table.moves(known)
        return copy(
            rows = rows.mapNotNull { row ->
                val slot = moves[row.slot] ?: return@mapNotNull null
                val known = table.bySlot.getValue(slot)
                row.copy(slot = slot, name = known.name, since = known.since)
            },
        )
    }

    /** Return the labels with the states of both parts. */
    fun withStates(rehearsed: Map<Int, ClassState>, heldOut: Map<Int, ClassState>) =
        copy(rehearsed = rowsOf(rehearsed), heldOut = rowsOf(heldOut))

    private fun rowsOf(states: Map<Int, ClassState>) =
        states.map { (slot, state) -> StateRow(slot, state.seen, state.isFull) }

    fun isPossible(): Boolean {
        val labels = rows.map { it.label }
        return schemaVersion == SCHEMA_VERSION && labels.all { it in 1 until nextLabel } &&
            labels.toSet().size == labels.size && rows.all { it.slot >= 0 } &&
            (rehearsed + heldOut).all { it.seen >= 0 }
    }
}

/** Return the states by slot. */
internal fun statesOf(rows: List<StateRow>): Map<Int, ClassState> =
    rows.associate { it.slot to ClassState(it.seen, it.isFull) }

internal class LabelFile(folder: Path) {
    private val file = folder.resolve("labels.json")

    /** Return the labels; null if they are missing or damaged. Throws IOException. */
    fun read(): Labels? {
        if (!Files.exists(file) || Files.size(file) > MAX_BYTES) return null
        val text = String(readBounded(file, MAX_BYTES), Charsets.UTF_8)
        return try {
            json.decodeFromString(Labels.serializer(), text).takeIf { it.isPossible() }
        } catch (_: SerializationException) {
            null
        }
    }

    /** Write the labels, whole or not at all. Throws StorageException. */
    fun write(labels: Labels) = writeAtomically(file, json.encodeToString(Labels.serializer(), labels).toByteArray())
}
