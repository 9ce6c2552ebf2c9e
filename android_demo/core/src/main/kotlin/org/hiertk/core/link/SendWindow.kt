/** Which messages are on their way, and when to send them again. Pure: no clock, no broker. */
package org.hiertk.core.link

/** How much may be unacknowledged by the cloud, and how long its acknowledgement may take. */
internal class WindowLimits(
    val messages: Int = 32,
    val bytes: Long = 1L shl 20,
    val firstTimeoutMillis: Long = 5_000,
    val lastTimeoutMillis: Long = 60_000,
)

/** The unacknowledged messages; times are milliseconds of any monotonic clock. */
internal class SendWindow(private val limits: WindowLimits = WindowLimits()) {
    private val sizes = LinkedHashMap<Long, Int>()
    private var bytes = 0L
    private var mostMessages = limits.messages
    private var timeoutMillis = limits.firstTimeoutMillis
    private var since = 0L

    /** The highest sequence number sent in this round; what lies above is next. */
    var sentThrough = 0L
        private set

    /** Messages on their way. */
    val size: Int get() = sizes.size

    /** When to send again unless something is acknowledged before; null: nothing is on its way. */
    val deadline: Long? get() = if (sizes.isEmpty()) null else since + timeoutMillis

    /** Whether the wait may still grow. */
    val canBePatient: Boolean get() = timeoutMillis < limits.lastTimeoutMillis

    /** Hold fewer messages than the limits say, if the broker takes fewer. */
    fun takeAtMost(messages: Int) {
        mostMessages = messages.coerceIn(1, limits.messages)
    }

    /** Whether a message of so many bytes may be sent; one may always be on its way. */
    fun hasRoom(size: Int): Boolean =
        sizes.isEmpty() || (sizes.size < mostMessages && bytes + size <= limits.bytes)

    /** Note that a message went out. */
    fun sent(seq: Long, size: Int, now: Long) {
        if (sizes.isEmpty()) since = now
        bytes += size - (sizes.put(seq, size) ?: 0)
        sentThrough = maxOf(sentThrough, seq)
    }

    /** Forget what is settled; return whether anything was. What is left gets its full time again. */
    fun acknowledged(through: Long, others: Set<Long>, now: Long): Boolean {
        val settled = sizes.keys.filter { it <= through || it in others }
        settled.forEach { seq -> bytes -= sizes.remove(seq) ?: 0 }
        since = now
        timeoutMillis = limits.firstTimeoutMillis
        return settled.isNotEmpty()
    }

    /** Wait longer for what is on its way, and send nothing again yet. */
    fun bePatient() {
        timeoutMillis = longer()
    }

    /** Send everything again, and wait twice as long for it. */
    fun timedOut() {
        restart()
        timeoutMillis = longer()
    }

    /** Send everything again. */
    fun restart() {
        sizes.clear()
        bytes = 0
        sentThrough = 0
    }

    private fun longer(): Long = minOf(2 * timeoutMillis, limits.lastTimeoutMillis)
}
