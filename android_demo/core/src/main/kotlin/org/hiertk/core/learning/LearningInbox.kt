/** What other threads hand to the learning thread: orders in their sequence, and the newest frame. */
package org.hiertk.core.learning

import org.hiertk.core.classes.ClassMap
import java.util.concurrent.TimeUnit
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock

/** Something to be done between two steps. */
internal sealed class Order {
    class Teach(val name: String, val images: List<ByteArray>) : Order()
    class Forget(val slot: Int) : Order()
    class Pause(val isPaused: Boolean) : Order()
    object Save : Order()
}

/** A camera frame as 8-bit RGB of the bundle's size. */
internal class Frame(rawBytes: Int) {
    var number = 0L
    val pixels = ByteArray(rawBytes)
}

/** Any thread puts in; the learning thread takes out. Orders beyond `mostOrders` are not taken. */
internal class LearningInbox(rawBytes: Int, private val mostOrders: Int = 64) {
    private val lock = ReentrantLock()
    private val changed = lock.newCondition()
    private val orders = ArrayDeque<Order>()
    private var coming = Frame(rawBytes)
    private var taken = Frame(rawBytes)
    private var hasFrame = false
    private var map: ClassMap? = null
    private var isStopped = false

    /** Whether the thread is to end. */
    val stopped: Boolean get() = lock.withLock { isStopped }

    /** Hand over an order; false if too many wait already. */
    fun put(order: Order): Boolean = lock.withLock {
        val hasRoom = orders.size < mostOrders
        if (hasRoom) orders.addLast(order)
        changed.signal()
        hasRoom
    }

    /** Hand over a frame in place of an older one that was not taken yet; its pixels are copied. */
    fun show(number: Long, pixels: ByteArray) = lock.withLock {
        require(pixels.size == coming.pixels.size)
        coming.number = number
        System.arraycopy(pixels, 0, coming.pixels, 0, pixels.size)
        hasFrame = true
        changed.signal()
    }

    /** Hand over a class map in place of an older one that was not taken yet. */
    fun putMap(newer: ClassMap) = lock.withLock {
        map = newer
        changed.signal()
    }

    /** Let the thread end. */
    fun stop() = lock.withLock {
        isStopped = true
        changed.signal()
    }

    /** Take the next order. */
    fun takeOrder(): Order? = lock.withLock { orders.removeFirstOrNull() }

    /** Take the newest class map. */
    fun takeMap(): ClassMap? = lock.withLock { map.also { map = null } }

    /** Take the newest frame; it is the taker's until the next one is taken. */
    fun takeFrame(): Frame? = lock.withLock {
        if (!hasFrame) return null
        hasFrame = false
        coming.also {
            coming = taken
            taken = it
        }
    }

    /** Wait until there is something to take, or for so long. */
    fun await(millis: Long) = lock.withLock {
        if (orders.isEmpty() && !hasFrame && map == null && !isStopped) changed.await(millis, TimeUnit.MILLISECONDS)
    }
}
