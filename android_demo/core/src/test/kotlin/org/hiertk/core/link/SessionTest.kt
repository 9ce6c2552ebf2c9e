/** Feature messages on their way: a message leaves the spool on the cloud's word alone. */
package org.hiertk.core.link

import java.nio.file.Files
import java.nio.file.Path
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

class SessionTest : WithBroker() {
    @Test
    fun `a message leaves the spool on the cloud's ack alone, and a new cloud gets all of them again`(@TempDir folder: Path) {
        val phone = Phone(folder)
        val cloud = phone.cloud(acknowledges = false)
        phone.put(40)
        phone.started()
        eventually("a window was sent") { cloud.received.size == 32 }
        Thread.sleep(300) // the broker has sent its PUBACKs long since
        assertEquals(40, phone.spool.totals.held, "PUBACK proves nothing")
        assertEquals((1L..32L).toList(), cloud.received)
        assertEquals(32, phone.snapshot.inFlight)
        cloud.restart(acknowledges = true)
        eventually("all is settled") { phone.spool.totals.held == 0 }
        assertEquals(40, phone.spool.totals.settled)
        assertEquals((1L..40L).toSet(), cloud.received.toSet())
    }

    @Test
    fun `what the cloud keeps silent about is sent again, and told meanwhile`(@TempDir folder: Path) {
        val phone = Phone(folder)
        val cloud = phone.cloud(acknowledges = false)
        phone.put(2)
        phone.started()
        eventually("it is sent") { cloud.received.size == 2 }
        cloud.acknowledges = true
        eventually("it is told") { "acknowledges nothing" in phone.snapshot.lastError }
        eventually("all is settled") { phone.spool.totals.held == 0 }
        assertEquals(listOf(1L, 2L, 1L, 2L), cloud.received)
        eventually("it is over") { phone.snapshot.problems.isEmpty() }
        assertEquals(4, phone.snapshot.sentTotal)
        assertEquals(2, phone.spool.totals.settled)
    }

    @Test
    fun `what was put while there was no broker arrives once there is one`(@TempDir folder: Path) {
        val other = Mosquitto.start(Files.createDirectory(folder.resolve("broker"))).also { running.add(it) }
        other.kill()
        val phone = Phone(folder, at = other.address).started()
        phone.put(3)
        eventually("it is told that there is none") {
            phone.snapshot.state == LinkState.DISCONNECTED && "cannot be reached" in phone.snapshot.reason
        }
        assertTrue(phone.snapshot.problems.any { "cannot be reached" in it })
        other.start()
        val cloud = TinyCloud(other.address, phone.topics).also { running.add(it) }
        phone.session.retryNow()
        eventually("all is settled") { phone.spool.totals.held == 0 }
        assertEquals(listOf(1L, 2L, 3L), cloud.received.distinct())
        assertTrue(phone.snapshot.problems.isEmpty(), "${phone.snapshot.problems}")
    }

    @Test
    fun `refused messages are gone, counted, and their reason is told`(@TempDir folder: Path) {
        val phone = Phone(folder)
        phone.cloud(refused = mapOf(2L to "of another\nbundle"))
        phone.put(3)
        phone.started()
        eventually("nothing is held") { phone.spool.totals.held == 0 && phone.snapshot.refusedTotal == 1L }
        assertEquals("the cloud refused a message: of another bundle", phone.snapshot.lastError)
    }

    @Test
    fun `a message that nobody takes is dropped and told, and the ones behind it arrive`(@TempDir folder: Path) {
        val phone = Phone(folder)
        val cloud = phone.cloud(maxMessageBytes = 5000)
        phone.put(1, bytes = 6000)
        phone.put(1)
        phone.started()
        eventually("the second arrives") { cloud.received.toList() == listOf(2L) && phone.spool.totals.held == 0 }
        assertEquals(1, phone.spool.totals.tooLarge)
        assertTrue(phone.snapshot.problems.single().startsWith("dropped a message of "), "${phone.snapshot.problems}")
        assertEquals(5000, phone.session.maxMessageBytes)
    }
}
