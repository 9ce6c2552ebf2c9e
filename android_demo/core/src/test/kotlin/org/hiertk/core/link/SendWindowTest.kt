package org.hiertk.core.link

import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue
import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.constraints.Size
import org.junit.jupiter.api.Test

class SendWindowTest {
    private val limits = WindowLimits(messages = 3, bytes = 100, firstTimeoutMillis = 10, lastTimeoutMillis = 35)
    private val window = SendWindow(limits)

    @Test
    fun `so many messages and bytes may be on their way, but one of any size`() {
        assertTrue(window.hasRoom(1000))
        window.sent(1, 1000, now = 0)
        assertFalse(window.hasRoom(1))
        window.acknowledged(1, emptySet(), now = 0)
        listOf(2L, 3L).forEach { window.sent(it, 40, now = 0) }
        assertFalse(window.hasRoom(21))
        assertTrue(window.hasRoom(20))
        window.sent(4, 0, now = 0)
        assertFalse(window.hasRoom(0))
    }

    @Test
    fun `a broker that takes fewer gets fewer`() {
        window.takeAtMost(1)
        window.sent(1, 1, now = 0)
        assertFalse(window.hasRoom(1))
        window.takeAtMost(100)
        assertTrue(window.hasRoom(1))
    }

    @Test
    fun `an ack gives what is left its full time again`() {
        window.sent(1, 1, now = 0)
        window.sent(2, 1, now = 5)
        assertEquals(10, window.deadline)
        assertTrue(window.acknowledged(0, setOf(2), now = 9))
        assertEquals(19, window.deadline)
        assertTrue(window.acknowledged(1, emptySet(), now = 9))
        assertNull(window.deadline)
        assertEquals(2, window.sentThrough)
    }

    @Test
    fun `what is late is sent again from the beginning, and waited for twice as long`() {
        window.sent(1, 1, now = 0)
        for (wait in listOf(20L, 35L, 35L)) {
            window.timedOut()
            assertEquals(0, window.sentThrough)
            window.sent(1, 1, now = 100)
            assertEquals(100 + wait, window.deadline)
        }
        assertFalse(window.canBePatient)
        window.acknowledged(0, emptySet(), now = 200)
        assertTrue(window.canBePatient)
    }

    @Property(tries = 300)
    fun `whatever happens, it holds what was sent and not settled`(
        @ForAll @Size(max = 40) numbers: List<Int>,
    ) {
        val window = SendWindow(limits)
        val held = sortedMapOf<Long, Int>()
        var next = 1L
        for (step in numbers.map { Math.floorMod(it, 12) }) {
            when {
                step < 6 && window.hasRoom(step * 10) -> {
                    window.sent(next, step * 10, now = next)
                    held[next++] = step * 10
                }
                step == 11 -> {
                    window.restart()
                    held.clear()
                }
                step >= 6 && next > step -> {
                    window.acknowledged(next - step, setOf(next - 1), now = next)
                    held.keys.removeIf { it <= next - step || it == next - 1 }
                }
            }
            assertEquals(held.size, window.size)
            assertEquals(held.isEmpty(), window.deadline == null)
            assertTrue(held.size <= 1 || held.values.sum() <= limits.bytes)
        }
    }
}
