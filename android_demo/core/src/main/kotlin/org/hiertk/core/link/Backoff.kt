/** How long to wait before the next attempt to connect: exponentially longer, with full jitter. */
package org.hiertk.core.link

import kotlin.random.Random

private const val FIRST_MILLIS = 500L
private const val LEAST_MILLIS = 100L
private const val LAST_MILLIS = 30_000L
private const val LAST_MILLIS_WHEN_REFUSED = 300_000L // somebody has to mend that first
private const val MOST_DOUBLINGS = 20

/** The waits of one link. With full jitter a thousand phones do not come back at the same moment. */
internal class Backoff(private val random: Random = Random.Default) {
    private var failures = 0

    /** Return how long to wait after one more failure. */
    fun next(isRefusal: Boolean): Long {
        val longest = if (isRefusal) LAST_MILLIS_WHEN_REFUSED else LAST_MILLIS
        val bound = minOf(FIRST_MILLIS shl minOf(failures, MOST_DOUBLINGS), longest)
        failures++
        return random.nextLong(LEAST_MILLIS, bound + 1)
    }

    /** Begin anew: the link has held. */
    fun forget() {
        failures = 0
    }
}
