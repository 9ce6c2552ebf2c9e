package org.hiertk.core.learning

import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.constraints.IntRange
import org.junit.jupiter.api.Test
import kotlin.random.Random
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class ProgressTest {
    @Property(tries = 100)
    fun `a curve without end keeps its mean, its order and its bound`(
        @ForAll seed: Long,
        @ForAll @IntRange(min = 0, max = 400) count: Int,
        @ForAll @IntRange(min = 1, max = 8) half: Int,
    ) {
        val random = Random(seed)
        val values = List(count) { random.nextDouble(-100.0, 100.0) }
        val history = History(2 * half)
        values.forEachIndexed { at, value -> history.add(at.toDouble(), value) }
        val series = history.series()
        assertTrue(series.size <= 2 * half)
        assertEquals(series.x.toList(), series.x.sorted())
        if (values.isEmpty()) return
        assertTrue(series.y.all { it >= values.min() - 1e-3 && it <= values.max() + 1e-3 })
        if (series.size == 1) assertEquals(values.average(), series.y[0], 1e-6)
    }

    @Test
    fun `means are over the newest fifty steps, and nothing is known before the first`() {
        val progress = Progress()
        assertTrue(progress.measures().loss.isNaN() && progress.measures().stepMillis.isNaN())
        for (step in 1L..100) progress.add(step, if (step <= 50) 9f else 1f, 0.5, step.toDouble())
        assertEquals(1.0, progress.measures().loss)
        assertEquals(76.0, progress.measures().stepMillis)
        assertEquals(100, progress.measures().lossCurve.size)
    }

    @Test
    fun `measures follow their classes, and go with those that are nowhere`() {
        val progress = Progress()
        progress.measured(1, mapOf(0 to HeldOutClass(1, 2), 7 to HeldOutClass(4, 4)))
        progress.move(mapOf(7 to 2, 0 to null))
        assertEquals(setOf(2), progress.measures().heldOut.keys)
        assertEquals(1.0, progress.measures().accuracyCurves.getValue(2).y.single())
        assertEquals(1.0, progress.measures().heldOutAccuracy)
    }

    @Test
    fun `counts of labels decay, follow their classes, and one that was there never becomes one that never was`() {
        val counts = ClassCounts(4)
        counts.add(intArrayOf(0, 0, 1))
        assertTrue(counts.prior()[1] < 0f)
        repeat(1_000) { counts.add(intArrayOf(0, 0)) }
        assertTrue(counts.prior()[1] < -20f)
        assertEquals(0f, counts.prior()[3])
        counts.move(mapOf(1 to 3))
        assertTrue(counts.prior()[3] < -20f)
        assertEquals(0f, counts.prior()[1])
    }
}
