package org.hiertk.core.link

import java.nio.file.Files
import java.nio.file.Path
import kotlin.test.assertEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue
import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.constraints.Size
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

private const val HOUR = 3_600_000L
private const val NOW = 500_000 * HOUR

class WireBudgetTest {
    @Test
    fun `the newest 24 hours count, and the hour in which they begin`() {
        val hours = WireHours()
        hours.add(5, NOW)
        hours.add(7, NOW + HOUR)
        assertEquals(12, hours.day(NOW + 24 * HOUR))
        assertEquals(7, hours.day(NOW + 25 * HOUR))
        assertEquals(0, hours.day(NOW + 26 * HOUR))
    }

    @Test
    fun `a clock that is set back gives nothing back`() {
        val hours = WireHours()
        hours.add(5, NOW)
        assertEquals(5, hours.day(NOW - 1000 * HOUR))
        assertEquals(0, hours.day(NOW - 974 * HOUR))
    }

    @Property(tries = 200)
    fun `no 24 hours have more bytes than were counted for them`(
        @ForAll @Size(max = 60) numbers: List<Int>,
    ) {
        val hours = WireHours()
        val sent = mutableListOf<Long>()
        var now = NOW
        for (passed in numbers.map { Math.floorMod(it, 301) }) {
            now += passed * 60_000L
            hours.add(1, now)
            sent.add(now)
            val newest = sent.count { it > now - 24 * HOUR }
            assertTrue(hours.day(now) >= newest, "$newest of the newest 24 hours")
            assertTrue(hours.day(now) <= sent.count { it > now - 26 * HOUR })
            assertTrue(hours.hours.size <= 25)
        }
    }

    @Test
    fun `the book outlives a restart, and a damaged one is begun anew`(@TempDir folder: Path) {
        val file = folder.resolve("wire-hours.txt")
        WireBook(file) { NOW }.run {
            add(1000)
            flush()
            add(1)
            flush()
        }
        assertEquals(1001, WireBook(file) { NOW }.day())
        val whole = Files.readAllBytes(file)
        val damaged = listOf("", "hiertk wire hours 2\n1 1\n", "hiertk wire hours 1\n1 -5\n", "hiertk wire hours 1\n1\n", "x".repeat(4000))
        for (text in damaged) {
            Files.write(file, text.toByteArray())
            assertEquals(0, WireBook(file) { NOW }.day(), text.take(40))
        }
        for (length in whole.indices) { // none of them fails
            Files.write(file, whole.copyOf(length))
            assertTrue(WireBook(file) { NOW }.day() in 0..1001)
        }
    }

    @Test
    fun `what is in the way is told in the order in which it can be mended`() {
        val limits = LinkLimits(bytesPerDay = 10_000, wifiOnly = true)
        fun found(network: NetworkKind, spent: Long, next: Int, isUp: Boolean = true) =
            obstacle(network, limits, spent, next, isUp)
        assertEquals(Obstacle.NO_NETWORK, found(NetworkKind.NONE, 0, 0))
        assertEquals(Obstacle.NOT_WIFI, found(NetworkKind.MOBILE, 0, 0))
        assertNull(found(NetworkKind.WIFI, 9_000, 900))
        assertEquals(Obstacle.BUDGET_USED_UP, found(NetworkKind.WIFI, 9_000, 1_000))
        assertEquals(Obstacle.BUDGET_USED_UP, found(NetworkKind.WIFI, 9_000, 900, isUp = false), "no room to connect")
        assertEquals(Obstacle.BUDGET_TOO_SMALL, found(NetworkKind.WIFI, 0, 6_000))
        assertNull(obstacle(NetworkKind.MOBILE, LinkLimits(), 1L shl 40, 1 shl 20, isUp = false))
    }

    @Test
    fun `packets are counted as MQTT writes them`() {
        assertEquals(8, packetBytes("t", 0))
        assertEquals(8 + 121, packetBytes("t", 121)) // 127 remaining bytes: a length of one byte
        assertEquals(9 + 122, packetBytes("t", 122))
        val request = Request(ByteArray(8), "reply", 60)
        assertEquals(8 + 11 + 5 + 8, packetBytes(Outgoing("t", ByteArray(0), request = request)))
        for (packet in listOf(100, 129, 130, 131, 16_386, 16_388, 2_097_160)) {
            val most = largestPayload("some/topic", packet)
            assertTrue(packetBytes("some/topic", most) <= packet, "$packet")
            assertTrue(packetBytes("some/topic", most + 4) > packet, "$packet")
        }
    }

    @Test
    fun `waits grow, are spread out, and stay bounded`() {
        val backoff = Backoff()
        val waits = List(40) { backoff.next(isRefusal = false) }
        assertTrue(waits.all { it in 100..30_000 })
        assertTrue(waits.first() <= 500)
        assertTrue(waits.toSet().size > 10)
        assertTrue(List(40) { backoff.next(isRefusal = true) }.any { it > 30_000 })
        backoff.forget()
        assertTrue(backoff.next(isRefusal = true) <= 500)
    }
}
