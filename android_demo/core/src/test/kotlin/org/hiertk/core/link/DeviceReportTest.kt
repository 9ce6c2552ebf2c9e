package org.hiertk.core.link

import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertTrue
import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.constraints.Size
import net.jqwik.api.constraints.StringLength
import org.hiertk.core.spool.SpoolTotals
import org.hiertk.protocol.DeviceStatus
import org.junit.jupiter.api.Test

private const val LARGEST_STATUS = 4096

class DeviceReportTest {
    private fun status(step: Long) =
        DeviceStatus.newBuilder().setState(DeviceStatus.State.TRAINING).setEdgeStep(step).setStepMs(Float.NaN).build()

    @Test
    fun `the will is more than a default, which would delete the retained status`() {
        val will = statusOfTheWill()
        assertEquals(DeviceStatus.State.OFFLINE, will.state)
        assertTrue(will.toByteArray().isNotEmpty())
        assertTrue(will.earlyExitHeldOutAccuracy.isNaN() && will.temperatureC.isNaN())
    }

    @Test
    fun `what is gone counts as dropped, whatever the reason`() {
        val status = DeviceStatus.newBuilder()
        addTotals(status, SpoolTotals(held = 1, put = 20, dropped = 3, tooLarge = 4, damaged = 5, aged = 6, refused = 7))
        assertEquals(listOf(1L, 20L, 12L, 6L, 7L), status.run { listOf(spoolBatches, spooledTotal, droppedTotal, agedTotal, refusedTotal) })
    }

    @Property(tries = 200)
    fun `whatever the problems are, the status stays readable for the cloud`(
        @ForAll @Size(max = 12) @StringLength(max = 400) lines: List<String>,
    ) {
        val status = DeviceStatus.newBuilder().addProblems("of the learning part")
        addProblems(status, lines)
        val parsed = DeviceStatus.parseFrom(status.build().toByteArray())
        assertEquals("of the learning part", parsed.problemsList.first())
        assertTrue(parsed.problemsCount <= 8)
        assertTrue(parsed.problemsList.all { it.toByteArray().size <= 200 })
        assertTrue(parsed.serializedSize < LARGEST_STATUS)
    }

    @Test
    fun `a status is published when it says anything new, and at once when its state does`() {
        val rhythm = StatusRhythm()
        assertTrue(rhythm.isDue(DeviceStatus.State.TRAINING, now = 0) && rhythm.isNews(status(1)))
        rhythm.looked(100, bytesPerDay = 0, now = 0)
        rhythm.published(status(1))
        assertFalse(rhythm.isDue(DeviceStatus.State.TRAINING, now = 4_999))
        assertTrue(rhythm.isDue(DeviceStatus.State.PAUSED, now = 1))
        assertTrue(rhythm.isDue(DeviceStatus.State.TRAINING, now = 5_000))
        assertFalse(rhythm.isNews(status(1).toBuilder().setWireBytes(5).setBudgetLeftBytes(6).build()), "its own costs")
        assertTrue(rhythm.isNews(status(2)))
        rhythm.forget()
        assertTrue(rhythm.isDue(DeviceStatus.State.TRAINING, now = 0) && rhythm.isNews(status(1)))
    }

    @Test
    fun `with a budget it takes a tenth of it, but goes once a minute`() {
        val rhythm = StatusRhythm()
        rhythm.looked(200, bytesPerDay = 10_000_000, now = 0) // a tenth carries 5,000 of them
        assertEquals(17_280, rhythm.due)
        rhythm.looked(200, bytesPerDay = 10_000, now = 0)
        assertEquals(60_000, rhythm.due)
    }
}
