/**
 * The early exit follows the class table: its rows move to the slots that their classes have.
 *
 * A checkpoint keeps beside it what its slots stood for, so that an older one is brought up to date when
 * it is opened.
 */
package org.hiertk.core.classes

import kotlinx.serialization.SerializationException
import kotlinx.serialization.Serializable
import kotlinx.serialization.builtins.ListSerializer
import kotlinx.serialization.json.Json
import org.hiertk.core.ProtocolException
import org.hiertk.core.StorageException
import org.hiertk.core.learning.EdgeLearner
import org.hiertk.core.learning.ExitRow

@Serializable
private class KnownSlot(val slot: Int, val name: String, val since: Long)

/** Return as text what slots stand for, for the notes of a checkpoint. */
fun knownToText(known: Map<Int, ClassInSlot>): String = Json.encodeToString(
    ListSerializer(KnownSlot.serializer()),
    known.map { (slot, one) -> KnownSlot(slot, one.name, one.since) },
)

/** Return what slots stand for from the notes of a checkpoint. Throws StorageException for other text. */
fun knownFromText(text: String): Map<Int, ClassInSlot> =
    try {
        Json.decodeFromString(ListSerializer(KnownSlot.serializer()), text)
            .associate { it.slot to ClassInSlot(cleanClassName(it.name), it.since) }
    } catch (error: SerializationException) {
        throw StorageException("the notes of a checkpoint are damaged: delete the checkpoint", error)
    } catch (error: ProtocolException) {
        throw StorageException("the notes of a checkpoint are damaged: ${error.message}: delete it", error)
    }

/**
 * Bring the open slots up to date, between two steps.
 *
 * known: what the open slots stand for; one that stands for nothing is closed. Slots may swap. Of two
 * classes that were merged, the row of the one whose slot stays, else of the lower slot, stays.
 */
fun moveRows(learner: EdgeLearner, known: Map<Int, ClassInSlot>, table: ClassTable) {
    val now = table.moves(known)
    val leaving = learner.openSlots.sorted().filter { now[it] != it }
    if (leaving.isEmpty()) return
    val staying = learner.openSlots - leaving.toSet()
    val arriving = LinkedHashMap<Int, ExitRow>()
    for ((slot, row) in leaving.zip(learner.exitRows(leaving))) {
        val target = now[slot]
        if (target != null && target !in staying && target !in arriving) arriving[target] = row
    }
    leaving.filter { it !in arriving }.forEach(learner::closeSlot)
    arriving.forEach { (slot, row) -> learner.openSlot(slot, row) }
}
