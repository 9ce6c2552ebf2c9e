package org.hiertk.core.link

import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue
import org.hiertk.core.ConfigException
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.BeforeAll
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.io.TempDir

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class HiveMqTransportTest {
    private lateinit var broker: Mosquitto

    @BeforeAll
    fun start(@TempDir folder: Path) {
        broker = Mosquitto.start(folder, "max_packet_size 5000")
    }

    @AfterAll
    fun end() = broker.close()

    private fun hello(name: String, vararg topics: String) =
        Hello(name, topics.toList(), Outgoing("$name/will", byteArrayOf(1), retain = true), 5000)

    @Test
    fun `a retained message comes with its bytes, and the broker's limits are told`() {
        Client(broker.address, "first", emptyList()).use { first ->
            assertEquals(5000, first.heard.awaitUp().packetBytes)
            first.publish("kept/a", byteArrayOf(0, -1, 7), retain = true)
        }
        Client(broker.address, "second", listOf("kept/a")).use { second ->
            second.heard.awaitUp()
            val message = second.heard.awaitMessage()
            assertEquals("kept/a", message.topic)
            assertContentEquals(byteArrayOf(0, -1, 7), message.payload)
            assertEquals(0, message.correlation.size)
        }
    }

    @Test
    fun `a request carries its correlation data`() {
        Client(broker.address, "asked", listOf("ask/me")).use { asked ->
            asked.heard.awaitUp()
            val request = Request(byteArrayOf(1, 2, 3), "answer/me", 60)
            asked.transport.publish(Outgoing("ask/me", ByteArray(2), request = request))
            assertContentEquals(byteArrayOf(1, 2, 3), asked.heard.awaitMessage().correlation)
        }
    }

    @Test
    fun `the will is published when the owner wants it, and not after a goodbye`() {
        Client(broker.address, "watcher", listOf("loud/will", "quiet/will")).use { watcher ->
            watcher.heard.awaitUp()
            for ((name, withWill) in listOf("quiet" to false, "loud" to true)) {
                val events = Listening()
                val transport = HiveMqTransport(broker.address)
                transport.connect(hello(name, "x"), events)
                events.awaitUp()
                transport.disconnect(withWill)
                events.awaitEnding()
                assertFalse(transport.publish(Outgoing("x", ByteArray(1))), "the link is down")
            }
            assertEquals("loud/will", watcher.heard.awaitMessage().topic)
            assertEquals(1, watcher.heard.all.size)
        }
    }

    @Test
    fun `a message that the broker does not take is refused, and the ones behind it arrive`() {
        Client(broker.address, "large", listOf("sizes")).use { client ->
            client.heard.awaitUp()
            val refusals = LinkedBlockingQueue<String>()
            client.transport.publish(Outgoing("sizes", ByteArray(6000))) { refusals.add(it ?: "taken") }
            val refusal = refusals.poll(20, TimeUnit.SECONDS)
            assertEquals("the broker takes packets of 5000 bytes, this one has 6013", refusal)
            client.publish("sizes", ByteArray(4000))
            assertEquals(4000, client.heard.awaitMessage().payload.size)
        }
    }

    @Test
    fun `a broker that goes away ends the connection once, and is told as no refusal`(@TempDir folder: Path) {
        val other = Mosquitto.start(folder)
        val events = Listening()
        val transport = HiveMqTransport(other.address)
        transport.connect(hello("left", "x"), events)
        events.awaitUp()
        other.kill()
        val ending = events.awaitEnding()
        assertFalse(ending.isRefusal, ending.reason)
        val again = Listening()
        transport.connect(hello("left", "x"), again)
        val refused = again.awaitEnding()
        assertFalse(refused.isRefusal, refused.reason)
        assertTrue(refused.reason.startsWith("mqtt://127.0.0.1:${other.port} cannot be reached: "), refused.reason)
        assertTrue(events.endings.isEmpty() && again.endings.isEmpty(), "an ending was told twice")
    }

    @Test
    fun `a broker that wants a password refuses, and says what to do`(@TempDir folder: Path) {
        Files.write(folder.resolve("nobody"), ByteArray(0))
        Mosquitto.start(folder, "allow_anonymous false").use { closed ->
            val events = Listening()
            HiveMqTransport(closed.address).connect(hello("stranger", "x"), events)
            val ending = events.awaitEnding()
            assertTrue(ending.isRefusal)
            assertEquals("mqtt://127.0.0.1:${closed.port} refuses the connection: not authorized", ending.reason)
        }
    }

    @Test
    fun `a phone whose name another one takes loses its connection`() {
        Client(broker.address, "twin", emptyList()).use { first ->
            first.heard.awaitUp()
            Client(broker.address, "twin", emptyList()).use { second ->
                second.heard.awaitUp()
                assertTrue("${broker.address}" in first.heard.awaitEnding().reason)
                assertFalse(first.transport.publish(Outgoing("x", ByteArray(1))), "the link is down")
            }
        }
    }

    @Test
    fun `an unknown host is told as one`() {
        val events = Listening()
        HiveMqTransport(BrokerAddress("no-such-host.invalid", 1883, tls = false)).connect(hello("lost", "x"), events)
        val ending = events.awaitEnding()
        assertFalse(ending.isRefusal)
        assertEquals("mqtt://no-such-host.invalid:1883 cannot be found: check the name and the network", ending.reason)
    }

    @Test
    fun `credentials are checked before anything is sent`() {
        val tls = BrokerAddress("localhost", 8883, tls = true)
        val unusable = listOf(
            broker.address to Credentials(username = "a", password = "b"),
            tls to Credentials(username = "a"),
            tls to Credentials(certificatePem = "x"),
            tls to Credentials(ca = "no certificate".toByteArray()),
            tls to Credentials(ca = ByteArray(0)),
        )
        for ((address, credentials) in unusable) {
            val error = assertFailsWith<ConfigException> { HiveMqTransport(address, credentials) }
            assertTrue('\n' !in error.message.orEmpty(), error.message)
        }
    }
}
