/** What is saved beside a learner's own file. */
package org.hiertk.core.learning

import kotlinx.serialization.Serializable
import kotlinx.serialization.SerializationException
import kotlinx.serialization.json.Json
import org.hiertk.core.ProtocolException
import org.hiertk.core.StorageException
import org.hiertk.core.classes.ClassInSlot
import org.hiertk.core.classes.cleanClassName

@Serializable
private class KnownSlot(val slot: Int, val name: String, val since: Long)

@Serializable
private class Written(val classes: List<KnownSlot>, val temperature: Double)

/** known: what the open slots stand for. temperature: what the early exit's logits are divided by. */
class CheckpointNotes(val known: Map<Int, ClassInSlot>, val temperature: Double) {
    /** Return them as text. */
    fun toText(): String {
        val classes = known.map { (slot, one) -> KnownSlot(slot, one.name, one.since) }
        return Json.encodeToString(Written.serializer(), Written(classes, temperature))
    }

    companion object {
        /** Read the text of `toText`. Throws StorageException for other text. */
        fun parse(text: String): CheckpointNotes = try {
            val written = Json.decodeFromString(Written.serializer(), text)
            if (written.temperature !in MIN_TEMPERATURE..MAX_TEMPERATURE) throw damaged("a temperature that cannot be")
            CheckpointNotes(
                written.classes.associate { it.slot to ClassInSlot(cleanClassName(it.name), it.since) },
                written.temperature,
            )
        } catch (error: SerializationException) {
            throw damaged("not as they were written", error)
        } catch (error: ProtocolException) {
            throw damaged(error.message.orEmpty(), error)
        }

        private fun damaged(why: String, cause: Exception? = null) =
            StorageException("the notes of a checkpoint are damaged: $why: delete the checkpoint", cause)
    }
}
