/** What a test hears of a connection. */
package org.hiertk.core.link

import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import kotlin.test.fail

private const val PATIENCE_SECONDS = 30L

class Listening : TransportEvents {
    val limits = LinkedBlockingQueue<BrokerLimits>()
    val endings = LinkedBlockingQueue<Ending>()
    val messages = LinkedBlockingQueue<Incoming>()
    val all = CopyOnWriteArrayList<Incoming>()

    override fun up(limits: BrokerLimits) {
        this.limits.add(limits)
    }

    override fun message(incoming: Incoming) {
        all.add(incoming)
        messages.add(incoming)
    }

    override fun down(ending: Ending) {
        endings.add(ending)
    }

    fun awaitUp(): BrokerLimits =
        limits.poll(PATIENCE_SECONDS, TimeUnit.SECONDS) ?: fail("not up: ${endings.peek()?.reason}")

    fun awaitEnding(): Ending = endings.poll(PATIENCE_SECONDS, TimeUnit.SECONDS) ?: fail("the connection did not end")

    fun awaitMessage(): Incoming = messages.poll(PATIENCE_SECONDS, TimeUnit.SECONDS) ?: fail("no message came")
}

/** A connection of a test's own. */
class Client(address: BrokerAddress, name: String, subscriptions: List<String>, credentials: Credentials = Credentials()) : AutoCloseable {
    val heard = Listening()
    val transport = HiveMqTransport(address, credentials)

    init {
        val will = Outgoing("test/$name/will", "gone".toByteArray())
        transport.connect(Hello(name, subscriptions.ifEmpty { listOf("test/$name") }, will, 1 shl 20), heard)
    }

    fun publish(topic: String, payload: ByteArray, retain: Boolean = false) {
        val answers = LinkedBlockingQueue<String>()
        if (!transport.publish(Outgoing(topic, payload, retain)) { answers.add(it ?: "") }) fail("the link is down")
        val refusal = answers.poll(PATIENCE_SECONDS, TimeUnit.SECONDS) ?: fail("the broker did not answer")
        if (refusal.isNotEmpty()) fail("the broker refused: $refusal")
    }

    override fun close() = transport.disconnect(withWill = false)
}
