/** What keeps a session from sending: the user, the network, the budget and the broker. */
package org.hiertk.core.link

import java.nio.file.Files
import java.nio.file.Path
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.hiertk.protocol.DeviceStatus
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

class SessionLimitsTest : WithBroker() {
    @Test
    fun `a broker that takes fewer unacknowledged messages gets fewer`(@TempDir folder: Path) {
        val strict = Mosquitto.start(Files.createDirectory(folder.resolve("broker")), "max_inflight_messages 5")
        running.add(strict)
        val phone = Phone(folder, at = strict.address)
        val cloud = TinyCloud(strict.address, phone.topics, acknowledges = false).also { running.add(it) }
        phone.put(20)
        phone.started()
        eventually("a window was sent") { phone.snapshot.inFlight == 5 && cloud.received.size == 5 }
        Thread.sleep(200)
        assertEquals((1L..5L).toList(), cloud.received)
        cloud.restart(acknowledges = true)
        eventually("all is settled") { phone.spool.totals.held == 0 }
    }

    @Test
    fun `without a network it waits, and without Wi-Fi where only that is allowed`(@TempDir folder: Path) {
        val phone = Phone(folder, limits = LinkLimits(wifiOnly = true), network = NetworkKind.NONE)
        val cloud = phone.cloud()
        phone.put(1)
        phone.started()
        eventually("it waits") { phone.snapshot.waitsFor == Obstacle.NO_NETWORK }
        phone.session.network(NetworkKind.MOBILE)
        eventually("it waits for Wi-Fi") { phone.snapshot.waitsFor == Obstacle.NOT_WIFI }
        assertEquals(LinkState.WAITING, phone.snapshot.state)
        assertEquals("waits for Wi-Fi: connect to one, or allow mobile data", phone.snapshot.reason)
        assertTrue(cloud.received.isEmpty())
        phone.session.network(NetworkKind.WIFI)
        eventually("it is sent") { phone.spool.totals.held == 0 }
        eventually("a status came") { cloud.statuses.isNotEmpty() }
        phone.session.network(NetworkKind.MOBILE)
        eventually("it waits again, and others see it offline") {
            phone.snapshot.waitsFor == Obstacle.NOT_WIFI && cloud.statuses.last().state == DeviceStatus.State.OFFLINE
        }
        phone.session.limit(LinkLimits(wifiOnly = false))
        eventually("mobile data is allowed") { phone.snapshot.state == LinkState.CONNECTED }
    }

    @Test
    fun `the daily budget holds, over a restart too, and what is left goes when there is more`(@TempDir folder: Path) {
        val budget = 40_000L
        val first = Phone(folder, limits = LinkLimits(bytesPerDay = budget))
        val cloud = first.cloud()
        first.put(20)
        first.started()
        eventually("it is used up") { first.snapshot.waitsFor == Obstacle.BUDGET_USED_UP }
        val sent = cloud.received.distinct().size
        assertTrue(sent in 8..13, "$sent messages of $MESSAGE_BYTES bytes")
        assertTrue(first.snapshot.dayBytes <= budget + 1000, "${first.snapshot.dayBytes}")
        assertEquals(20 - sent, first.spool.totals.held, "what was sent was waited for")
        first.session.stop()
        first.spool.close()

        val second = Phone(folder, limits = LinkLimits(bytesPerDay = budget), deployment = first.deployment).started()
        eventually("it is still used up") { second.snapshot.waitsFor == Obstacle.BUDGET_USED_UP }
        Thread.sleep(200)
        assertEquals(sent, cloud.received.distinct().size)
        second.session.limit(LinkLimits(bytesPerDay = 10 * budget))
        eventually("the rest arrives") { second.spool.totals.held == 0 }
        assertEquals(20, cloud.received.distinct().size)
    }

    @Test
    fun `a broker that refuses is told as one, and is asked again when the user wants`(@TempDir folder: Path) {
        val closed = Mosquitto.start(Files.createDirectory(folder.resolve("broker")), "allow_anonymous false")
        running.add(closed)
        val phone = Phone(folder, at = closed.address).started()
        eventually("it refuses") { phone.snapshot.state == LinkState.REFUSED }
        assertEquals("${closed.address} refuses the connection: not authorized", phone.snapshot.reason)
        assertNull(phone.snapshot.waitsFor)
        assertFalse(phone.snapshot.cloudIsOnline)
    }
}
