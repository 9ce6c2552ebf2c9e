/** Bytes over the wire, hour by hour: what of a daily budget is used up. Pure: it is told the time. */
package org.hiertk.core.link

private const val HOUR_MILLIS = 3_600_000L

// The hour in which the newest 24 began counts whole, so that no 24 hours exceed the budget.
private const val HOURS = 25

/** The bytes of the newest hours; times are milliseconds of the wall clock. */
internal class WireHours(hours: Map<Long, Long> = emptyMap()) {
    private val bytes = sortedMapOf<Long, Long>().apply { putAll(hours) }

    /** The bytes by hour, of at most 25 hours. */
    val hours: Map<Long, Long> get() = bytes.toMap()

    /** Count bytes that went over the wire now. */
    fun add(size: Long, now: Long) {
        val hour = lookAt(now)
        bytes[hour] = (bytes[hour] ?: 0) + size
    }

    /** Return the bytes of the newest 24 hours, and of the hour in which they begin. */
    fun day(now: Long): Long {
        lookAt(now)
        return bytes.values.sum()
    }

    /** Forget what is too old; return the hour. A clock that was set back takes its hours with it. */
    private fun lookAt(now: Long): Long {
        val hour = Math.floorDiv(now, HOUR_MILLIS)
        val ahead = if (bytes.isEmpty()) 0 else bytes.lastKey() - hour
        if (ahead > 0) {
            val moved = bytes.mapKeys { (kept, _) -> kept - ahead }
            bytes.clear()
            bytes.putAll(moved)
        }
        bytes.headMap(hour - HOURS + 1).clear()
        return hour
    }
}
