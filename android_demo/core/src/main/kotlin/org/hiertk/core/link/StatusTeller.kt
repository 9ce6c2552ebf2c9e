/** Tells others the device's status: now and then, and a last time at the goodbye. */
package org.hiertk.core.link

import org.hiertk.core.spool.Spool
import org.hiertk.protocol.DeviceStatus

/** The status, retained by the broker. For the session's thread only, but for `report`. */
internal class StatusTeller(
    private val topic: String,
    private val spool: Spool,
    private val wire: Wire,
    private val sender: Sender,
    private val problems: Problems,
) {
    private val rhythm = StatusRhythm()

    /** The learning part's part; any thread may replace it. Null: nobody has begun to learn. */
    @Volatile
    var report: DeviceStatus? = null

    /** When to look again, even if nothing happens. */
    val due: Long get() = if (report == null) NEVER else rhythm.due

    /** Tell everything again, whatever was told: the broker may hold the last will. */
    fun startOver() = rhythm.forget()

    /** Publish the status if it is due, and says anything new. */
    fun tellIfDue(now: Long) {
        val state = report?.state ?: return // to others the phone is offline
        if (!rhythm.isDue(state, now)) return
        val status = status(state)
        val message = message(status)
        rhythm.looked(packetBytes(message), wire.bytesPerDay, now)
        if (rhythm.isNews(status) && wire.fits(packetBytes(message)) && wire.publish(message)) {
            rhythm.published(status)
        }
    }

    /** Return the status that stays when the phone goes. */
    fun lastWords(state: DeviceStatus.State): Outgoing = message(status(state))

    private fun message(status: DeviceStatus) = Outgoing(topic, status.toByteArray(), retain = true)

    private fun status(state: DeviceStatus.State): DeviceStatus {
        val status = (report ?: statusOfTheWill()).toBuilder()
        addTotals(status, spool.totals)
        addProblems(status, problems.lines)
        return status
            .setState(state)
            .setSentTotal(sender.sentTotal)
            .setSentBytes(sender.sentBytes)
            .setWireBytes(wire.day())
            .setBudgetLeftBytes(wire.left() ?: 0)
            .build()
    }
}
