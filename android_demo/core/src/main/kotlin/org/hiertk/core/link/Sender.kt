/** Sending the spool in order: what fits the window and the budget; again until the cloud has it. */
package org.hiertk.core.link

import org.hiertk.core.ProtocolException
import org.hiertk.core.spool.Spool
import org.hiertk.protocol.Ack
import org.hiertk.protocol.FeatureBatch

private const val FLOOR_BYTES = 11 // at most, of the floor that each message gets
private const val SILENT_CLOUD =
    "the cloud is online but acknowledges nothing: sending again (may this device publish to this broker?)"

/** The messages on their way. For the session's thread only. post: puts an event into the session's inbox. */
internal class Sender(
    private val spool: Spool,
    private val wire: Wire,
    private val topic: String,
    private val problems: Problems,
    private val post: (() -> Unit) -> Unit,
) {
    private val window = SendWindow()
    private var round = 0
    private var notCarried = 0 // messages of this round that the broker has not taken yet

    /** Messages sent, repeats counted again; and their payload. */
    var sentTotal = 0L
        private set
    var sentBytes = 0L
        private set

    /** Messages on their way. */
    val inFlight: Int get() = window.size

    /** When to look again, even if nothing happens. */
    val due: Long get() = window.deadline ?: NEVER

    /** Return the bytes of the packet that is next; 0: all is sent. */
    fun nextPacketBytes(): Int =
        spool.sizeAfter(window.sentThrough)?.let { packetBytes(topic, it + FLOOR_BYTES) } ?: 0

    /** Send everything again. mostMessages: unacknowledged ones that the broker takes. */
    fun startOver(mostMessages: Int) {
        beginRound { window.restart() }
        window.takeAtMost(mostMessages)
    }

    /**
     * Settle what the cloud has; return its reasons for what it refused.
     *
     * Throws ProtocolException if the ack is for another spool, StorageException.
     */
    fun acknowledge(ack: Ack, now: Long): Collection<String> {
        if (ack.epoch != spool.epoch) throw ProtocolException("an ack for another spool than this one")
        if (ack.through < 0) throw ProtocolException("an ack beyond any sequence number")
        val refused = ack.refusedList.associate { it.seq to it.reason }
        val reasons = spool.settle(ack.through, ack.beyondList, refused).values
        if (window.acknowledged(ack.through, ack.beyondList.toSet() + refused.keys, now)) {
            problems.end("silent cloud")
        }
        return reasons
    }

    /** Send everything again if the newest ack is too long ago. */
    fun sendAgainIfLate(now: Long) {
        val deadline = window.deadline
        if (deadline == null || now < deadline) return
        if (window.canBePatient && notCarried > 0) {
            window.bePatient() // a slow link still carries them
            return
        }
        beginRound { window.timedOut() }
        problems.begin("silent cloud", SILENT_CLOUD)
    }

    /** Send the next messages that window and budget have room for. maxBytes: of a message. */
    fun sendWhatFits(maxBytes: Int, now: Long) {
        while (true) {
            val size = (spool.sizeAfter(window.sentThrough) ?: return) + FLOOR_BYTES
            if (!window.hasRoom(size) || !wire.fits(packetBytes(topic, size))) return
            val stored = spool.next(window.sentThrough) ?: return
            // Protobuf merges what is concatenated: the last floor counts.
            val payload = stored.message + FeatureBatch.newBuilder().setFloor(spool.floor).build().toByteArray()
            if (payload.size > maxBytes) {
                drop(stored.seq, payload.size, maxBytes)
            } else if (!send(stored.seq, payload, now)) {
                return
            }
        }
    }

    private fun send(seq: Long, payload: ByteArray, now: Long): Boolean {
        val sentIn = round
        val isTaken = wire.publish(Outgoing(topic, payload)) { refusal -> post { carried(sentIn, refusal) } }
        if (!isTaken) return false
        notCarried++
        window.sent(seq, payload.size, now)
        sentTotal++
        sentBytes += payload.size
        return true
    }

    private fun carried(sentIn: Int, refusal: String?) {
        if (sentIn == round) notCarried--
        if (refusal == null) {
            problems.end("publish")
        } else {
            problems.begin("publish", "the broker does not take this phone's messages ($refusal): pair it again")
        }
    }

    private fun beginRound(restart: () -> Unit) {
        restart()
        round++
        notCarried = 0
    }

    private fun drop(seq: Long, size: Int, maxBytes: Int) {
        // It would never arrive, and everything behind it would wait.
        spool.drop(seq)
        problems.begin(
            "too large",
            "dropped a message of $size bytes: the link takes up to $maxBytes; " +
                "raise the limit of the broker or the cloud",
        )
    }
}
