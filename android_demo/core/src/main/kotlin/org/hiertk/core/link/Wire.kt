/** Everything that is published goes through here: counted as it goes over the wire, within the daily budget. */
package org.hiertk.core.link

import java.util.concurrent.atomic.AtomicLong

/**
 * The transport and its book.
 *
 * Counted are PUBLISH packets both ways with their PUBACKs; not what TLS, TCP and IP add, nor the few
 * bytes of pings and of a new connection. For the session's thread only, but for `heard`.
 */
internal class Wire(private val transport: MqttTransport, private val book: WireBook) {
    private val heardBytes = AtomicLong()

    /** Bytes of any 24 hours; 0: no budget. */
    var bytesPerDay = 0L

    /** Hand a message over, and count it; false if the link is down. */
    fun publish(message: Outgoing, done: (refusal: String?) -> Unit = {}): Boolean {
        if (!transport.publish(message, done)) return false
        book.add((packetBytes(message) + PUBACK_BYTES).toLong())
        return true
    }

    /** Count what came; any thread may call it. */
    fun heard(message: Incoming) {
        heardBytes.addAndGet((packetBytes(message) + PUBACK_BYTES).toLong())
    }

    /** Return the bytes of the newest 24 hours. */
    fun day(): Long {
        val heard = heardBytes.getAndSet(0)
        if (heard > 0) book.add(heard)
        return book.day()
    }

    /** Return whether the daily budget has room for so many bytes. */
    fun fits(bytes: Int): Boolean = bytesPerDay == 0L || day() + bytes + PUBACK_BYTES <= bytesPerDay

    /** Return what is left of the daily budget; null: there is none. */
    fun left(): Long? = if (bytesPerDay == 0L) null else maxOf(0, bytesPerDay - day())
}
