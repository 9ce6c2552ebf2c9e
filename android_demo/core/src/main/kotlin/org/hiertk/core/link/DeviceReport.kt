/** The device's status: what spool and link add to the learning part's, and when it is published. */
package org.hiertk.core.link

import org.hiertk.core.spool.SpoolTotals
import org.hiertk.protocol.DeviceStatus

private const val MOST_PROBLEMS = 8
private const val PROBLEM_BYTES = 200
private const val EVERY_MILLIS = 5_000L
private const val POOR_EVERY_MILLIS = 60_000L
private const val SHARE_OF_BUDGET = 0.1
private const val DAY_MILLIS = 86_400_000.0

/** What others read while the phone is away. Not defaults only: an empty payload deletes the retained one. */
internal fun statusOfTheWill(): DeviceStatus =
    DeviceStatus.newBuilder()
        .setState(DeviceStatus.State.OFFLINE)
        .setEarlyExitLoss(Float.NaN)
        .setEarlyExitAccuracy(Float.NaN)
        .setEarlyExitHeldOutAccuracy(Float.NaN)
        .setStepMs(Float.NaN)
        .setTemperatureC(Float.NaN)
        .build()

/** Fill in what the spool counts. */
internal fun addTotals(status: DeviceStatus.Builder, totals: SpoolTotals) {
    status
        .setSpoolBatches(totals.held.toLong())
        .setSpoolBytes(totals.heldBytes)
        .setSpooledTotal(totals.put)
        // Those are gone like dropped ones; the problems say which it was.
        .setDroppedTotal(totals.dropped + totals.tooLarge + totals.damaged)
        .setRefusedTotal(totals.refused)
        .setSamplesTotal(totals.samples)
        .setPayloadBytesTotal(totals.payloadBytes)
        .setAgedTotal(totals.aged)
}

/** Fill in what is wrong now, shortened to what a status may hold; the learning part's own lines stay. */
internal fun addProblems(status: DeviceStatus.Builder, lines: List<String>) {
    val all = (status.problemsList + lines).take(MOST_PROBLEMS).map { shortened(it) }
    status.clearProblems().addAllProblems(all)
}

private fun shortened(line: String): String {
    var end = line.length
    while (line.substring(0, end).toByteArray().size > PROBLEM_BYTES) end--
    if (end in 1 until line.length && line[end - 1].isHighSurrogate()) end--
    return line.substring(0, end)
}

/**
 * When the next status is due: regularly if there is news, at once when the state changes.
 *
 * With a daily budget it takes at most a tenth of it, but goes once a minute.
 */
internal class StatusRhythm {
    private var published: DeviceStatus? = null

    var due = 0L
        private set

    /** Publish again, whatever was: the broker may hold the last will. */
    fun forget() {
        published = null
        due = 0
    }

    /** Return whether to look now whether there is news. */
    fun isDue(state: DeviceStatus.State, now: Long): Boolean = now >= due || state != published?.state

    /** Return whether the status says anything but what its own sending has cost. */
    fun isNews(status: DeviceStatus): Boolean = published?.let(::withoutCosts) != withoutCosts(status)

    /** Note that the status was looked at. packetBytes: what it takes on the wire. bytesPerDay: 0: no budget. */
    fun looked(packetBytes: Int, bytesPerDay: Long, now: Long) {
        val affordable =
            if (bytesPerDay == 0L) 0 else (DAY_MILLIS * packetBytes / (SHARE_OF_BUDGET * bytesPerDay)).toLong()
        due = now + affordable.coerceIn(EVERY_MILLIS, POOR_EVERY_MILLIS)
    }

    /** Note what was published. */
    fun published(status: DeviceStatus) {
        published = status
    }
}

/** The status as bytes: NaN, which stands for unknown, is not equal to itself. */
private fun withoutCosts(status: DeviceStatus) =
    status.toBuilder().clearWireBytes().clearBudgetLeftBytes().build().toByteString()
