/** What the phone knows of the cloud: whether it takes messages, and how large ones. */
package org.hiertk.core.link

import org.hiertk.core.messages.MAX_MESSAGE_BYTES
import org.hiertk.core.messages.parseModelStatus
import org.hiertk.protocol.ModelStatus

// Beyond what the cloud says: a message is several times in the phone's memory.
private const val LARGEST_MESSAGE_BYTES = 4 shl 20

/** The cloud's newest status. For the session's thread only. */
internal class CloudView {
    /** What it says of its training; null while it is out of reach. */
    var model: ModelStatus? = null
        private set

    /** The largest message that it takes, as it said last; the protocol's default before. */
    var maxMessageBytes = MAX_MESSAGE_BYTES
        private set

    val isOnline: Boolean get() = model != null

    /**
     * Take its status; return whether it is another incarnation, or came or went.
     *
     * Throws ProtocolException.
     */
    fun take(payload: ByteArray): Boolean {
        val status = parseModelStatus(payload)
        val before = model
        model = status.takeIf { it.state == ModelStatus.State.ONLINE }
        val most = Integer.toUnsignedLong(status.maxMessageBytes)
        if (most > 0) maxMessageBytes = minOf(most, LARGEST_MESSAGE_BYTES.toLong()).toInt()
        return before?.incarnation != model?.incarnation || (before == null) != (model == null)
    }

    /** Note that the link is down: nothing is known until it says so again. */
    fun lose() {
        model = null
    }
}
