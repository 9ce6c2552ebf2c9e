/** What other threads have for the session's thread: events to handle, and wake-up calls. */
package org.hiertk.core.link

import java.util.concurrent.TimeUnit
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock

private const val MOST_MESSAGES = 64 // each up to 120 KiB

/** A queue that can be waited for; any thread may put something in. Times as System.nanoTime, in milliseconds. */
internal class Inbox {
    private val lock = ReentrantLock()
    private val woken = lock.newCondition()
    private var isWoken = false
    private var isClosed = false
    private val events = ArrayDeque<() -> Unit>()

    /** Put in what must not be lost, and wake the session; false if it is closed. */
    fun put(event: () -> Unit): Boolean = lock.withLock {
        if (!isClosed) events.addLast(event)
        wakeLocked()
        !isClosed
    }

    /** Put in a message's event, unless there are too many: what a flood loses comes again. */
    fun putMessage(event: () -> Unit) = lock.withLock {
        if (!isClosed && events.size < MOST_MESSAGES) events.addLast(event)
        wakeLocked()
    }

    /** Only wake the session. */
    fun wake() = lock.withLock { wakeLocked() }

    /** Let nobody wait any more, and take nothing in; what is in stays. */
    fun close() = lock.withLock {
        isClosed = true
        wakeLocked()
    }

    /** Return all events, in order; none of them is left. */
    fun take(): List<() -> Unit> = lock.withLock {
        isWoken = false
        val found = events.toList()
        events.clear()
        found
    }

    /** Wait until woken since the last `take`, or for a time. */
    fun await(until: Long) = lock.withLock {
        while (!isWoken && !isClosed) {
            val left = until - monotonicMillis()
            if (left <= 0 || !woken.await(left, TimeUnit.MILLISECONDS)) break
        }
    }

    private fun wakeLocked() {
        isWoken = true
        woken.signal()
    }
}

/** A time of that clock that never comes. */
internal const val NEVER = Long.MAX_VALUE / 4

/** Milliseconds of a clock that only runs forward. */
internal fun monotonicMillis(): Long = TimeUnit.NANOSECONDS.toMillis(System.nanoTime())
