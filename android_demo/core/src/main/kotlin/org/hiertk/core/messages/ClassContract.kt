/** Asking the cloud for a class's slot: the request by name, and the slot or the refusal. */
package org.hiertk.core.messages

import org.hiertk.core.ProtocolException
import org.hiertk.core.bundle.MAX_CLASSES
import org.hiertk.core.bundle.Manifest
import org.hiertk.core.classes.cleanClassName
import org.hiertk.protocol.ClassReply
import org.hiertk.protocol.ClassRequest

private const val MAX_REPLY_BYTES = 4096
internal const val MAX_ERROR_LETTERS = 200

/** What the cloud answers to a request for a slot. */
sealed class ClassAnswer {
    /** The class's slot, and the first version of the class map that has it. */
    data class Given(val slot: Int, val version: Long) : ClassAnswer()

    /** Why there is none, in a line. */
    data class Refused(val reason: String) : ClassAnswer()
}

/** What a deployment's requests for classes and their replies are like. */
class ClassContract(manifest: Manifest) {
    private val bundleId = manifest.bundleId
    private val capacity = manifest.classes.capacity

    /** Return the request for a class's slot. Throws ProtocolException for an unusable name. */
    fun request(name: String): ByteArray =
        ClassRequest.newBuilder().setBundleId(bundleId).setName(cleanClassName(name)).build().toByteArray()

    /** Return what a reply says. Throws ProtocolException if it breaks the contract. */
    fun readReply(payload: ByteArray): ClassAnswer {
        val message = parseBounded(ClassReply.parser(), payload, "class reply", MAX_REPLY_BYTES)
        if (message.error.isNotEmpty()) return ClassAnswer.Refused(oneLine(message.error, MAX_ERROR_LETTERS))
        val slot = message.slot.toLong() and UINT32
        val version = message.version.toLong() and UINT32
        if (slot >= MAX_CLASSES || version == 0L) throw ProtocolException("class reply: slot $slot of $capacity")
        if (slot >= capacity) {
            return ClassAnswer.Refused(
                "its slot $slot is beyond this bundle's $capacity: install the bundle that the cloud was restarted with",
            )
        }
        return ClassAnswer.Given(slot.toInt(), version)
    }
}

internal const val UINT32 = 0xffff_ffffL
