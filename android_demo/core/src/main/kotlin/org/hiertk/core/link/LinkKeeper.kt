/** The link's state machine: connects where nothing is in the way, again and again with backoff. */
package org.hiertk.core.link

import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit

private const val CONNECTING_AT_MOST_MILLIS = 45_000L
private const val HOLDS_AFTER_MILLIS = 30_000L
private const val GOODBYE_AT_MOST_MILLIS = 1_500L

/** What the owner does about the connection; `heard` in the transport's thread, the others in the session's. */
internal interface KeeperOwner {
    fun cameUp(limits: BrokerLimits)

    fun wentDown()

    fun heard(incoming: Incoming)
}

/** Keeps one connection up. For the session's thread only. post: puts an event into the session's inbox. */
internal class LinkKeeper(
    private val transport: MqttTransport,
    private val hello: Hello,
    private val owner: KeeperOwner,
    private val problems: Problems,
    private val post: (() -> Unit) -> Unit,
) {
    private val backoff = Backoff()
    private var connection = 0 // what an older one still says is not heard
    private var next = 0L // when to look again while there is no connection
    private var upSince = 0L
    private var isGoodbyeSaid = false

    var state = LinkState.DISCONNECTED
        private set
    var waitsFor: Obstacle? = null
        private set

    /** Why there is no connection; while the next one is tried, too. */
    var reason = ""
        private set
    var sinceMillis = System.currentTimeMillis()
        private set

    val isUp: Boolean get() = state == LinkState.CONNECTED

    /** When to look again, even if nothing happens. */
    val due: Long get() = if (isUp || state == LinkState.WAITING) NEVER else next

    /** Connect if it is time. */
    fun look(now: Long) {
        if (state == LinkState.WAITING) {
            enter(LinkState.DISCONNECTED, "")
            next = now
        }
        if (isUp || now < next) return
        if (state == LinkState.CONNECTING) {
            end(Ending("the broker does not answer: is it the right address?", isRefusal = false), now)
        } else {
            enter(LinkState.CONNECTING, reason)
            next = now + CONNECTING_AT_MOST_MILLIS
            transport.connect(hello, Events(++connection))
        }
    }

    /** Try at once, without waiting for the backoff. */
    fun hurry() {
        backoff.forget()
        if (state == LinkState.DISCONNECTED || state == LinkState.REFUSED) next = 0
    }

    /** The phone is in another network: the old one's connection, if it stands, leads nowhere or costs. */
    fun changeNetwork() {
        if (isUp || state == LinkState.CONNECTING) leave()
        hurry()
    }

    /** End the connection, if there is one, and wait. */
    fun waitFor(obstacle: Obstacle, text: String, goodbye: () -> Unit) {
        goodbye()
        leave()
        waitsFor = obstacle
        enter(LinkState.WAITING, text)
        backoff.forget()
    }

    /** Publish the last words, wait a moment until the broker has them, and end the connection. */
    fun sayGoodbye(publish: (done: (String?) -> Unit) -> Boolean) {
        val isSaid = CountDownLatch(1)
        if (isUp && publish { isSaid.countDown() }) {
            isGoodbyeSaid = isSaid.await(GOODBYE_AT_MOST_MILLIS, TimeUnit.MILLISECONDS)
        }
    }

    /** End the connection, if there is one. */
    fun leave() {
        val wasUp = isUp
        connection++
        transport.disconnect(withWill = !isGoodbyeSaid)
        isGoodbyeSaid = false
        enter(LinkState.DISCONNECTED, "")
        if (wasUp) owner.wentDown()
    }

    private fun cameUp(limits: BrokerLimits) {
        upSince = monotonicMillis()
        problems.end("broker")
        enter(LinkState.CONNECTED, "")
        owner.cameUp(limits)
    }

    private fun end(ending: Ending, now: Long) {
        // One that breaks at once, again and again, must not come back at once.
        if (isUp && now - upSince >= HOLDS_AFTER_MILLIS) backoff.forget()
        leave()
        next = now + backoff.next(ending.isRefusal)
        enter(if (ending.isRefusal) LinkState.REFUSED else LinkState.DISCONNECTED, ending.reason)
        problems.begin("broker", ending.reason)
    }

    private fun enter(entered: LinkState, why: String) {
        if (entered != LinkState.WAITING) waitsFor = null
        if (entered != state) sinceMillis = System.currentTimeMillis()
        state = entered
        reason = why
    }

    private inner class Events(private val number: Int) : TransportEvents {
        override fun up(limits: BrokerLimits) = post { if (number == connection) cameUp(limits) }

        override fun message(incoming: Incoming) = owner.heard(incoming)

        override fun down(ending: Ending) = post {
            if (number == connection) end(ending, monotonicMillis())
        }
    }
}
