package org.hiertk.core.view

import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.constraints.IntRange
import org.hiertk.core.learning.Series
import org.junit.jupiter.api.Test
import kotlin.math.abs
import kotlin.math.floor
import kotlin.math.log10
import kotlin.math.pow
import kotlin.random.Random
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class ChartTest {
    private val box = Box(left = 10f, top = 20f, width = 100f, height = 50f)

    @Test
    fun `a line goes from the bottom left to the top right of its box`() {
        val chart = layOut(listOf(series(0.0 to 0.0, 10.0 to 1.0)), axisOver(doubleArrayOf(0.0, 10.0)), shareAxis(), box)
        assertContentEquals(floatArrayOf(10f, 70f, 110f, 20f), chart.curves.single().lines.single())
        assertEquals(listOf(70f, 57.5f, 45f, 32.5f, 20f), chart.yTicks.map { it.at })
    }

    @Test
    fun `without a point there are axes and no line`() {
        val chart = lossChart(Series.EMPTY, box)
        assertTrue(chart.curves.single().lines.isEmpty() && chart.curves.single().dots.isEmpty())
        assertTrue(chart.xTicks.size >= 2 && chart.yTicks.size >= 2)
        assertTrue(accuracyChart(emptyList(), box).curves.isEmpty())
    }

    @Test
    fun `a single point is a dot inside the box`() {
        val chart = lossChart(series(7.0 to 2.5), box)
        val (x, y) = chart.curves.single().dots.toList()
        assertTrue(x in 10f..110f && y in 20f..70f)
    }

    @Test
    fun `a value that is not a number is a gap, and a point between two gaps is a dot`() {
        val gap = Double.NaN
        val curve = series(0.0 to 1.0, 1.0 to 1.0, 2.0 to gap, 3.0 to 1.0, 4.0 to gap, 5.0 to 1.0, 6.0 to 1.0)
        val drawn = lossChart(curve, box).curves.single()
        assertEquals(listOf(4, 4), drawn.lines.map { it.size })
        assertEquals(2, drawn.dots.size)
    }

    @Test
    fun `many points become a few for each pixel, and a peak stays`() {
        val values = DoubleArray(100_000) { if (it == 54_321) 9.0 else 1.0 }
        val chart = lossChart(Series(DoubleArray(values.size) { it.toDouble() }, values), box)
        val line = chart.curves.single().lines.single()
        assertTrue(line.size / 2 <= 4 * 101, "${line.size / 2} points")
        val top = line.filterIndexed { at, _ -> at % 2 == 1 }.min()
        val expected = box.top + box.height * (1 - 9f / chart.yTicks.last().value.toFloat())
        assertTrue(abs(top - expected) < 0.01f)
    }

    @Test
    fun `steps have whole numbers at their ticks`() {
        val ticks = lossChart(series(0.0 to 1.0, 2.0 to 0.5), box).xTicks.map { it.value }
        assertEquals(listOf(0.0, 1.0, 2.0), ticks)
    }

    @Property(tries = 500)
    fun `ticks are round, rise, and enclose all values`(
        @ForAll seed: Long,
        @ForAll @IntRange(min = 0, max = 40) count: Int,
        @ForAll @IntRange(min = -8, max = 8) size: Int,
    ) {
        val random = Random(seed)
        val values = DoubleArray(count) { random.nextDouble(-1.0, 1.0) * 10.0.pow(size) }
        val axis = axisOver(values)
        assertTrue(axis.ticks.size in 2..12, "${axis.ticks.size} ticks")
        val step = axis.ticks[1] - axis.ticks[0]
        val digit = step / 10.0.pow(floor(log10(step) + 1e-9))
        assertTrue(listOf(1.0, 2.0, 5.0).any { abs(digit - it) < 1e-6 }, "a step of $step")
        assertTrue(values.all { axis.place(it) in -1e-6..1 + 1e-6 })
        assertTrue(axis.ticks.toList().zipWithNext().all { (a, b) -> b > a })
    }

    @Property(tries = 300)
    fun `whatever the values, every drawn point is in the box and goes from left to right`(
        @ForAll seed: Long,
        @ForAll @IntRange(min = 0, max = 600) count: Int,
    ) {
        val random = Random(seed)
        val odd = doubleArrayOf(Double.NaN, Double.POSITIVE_INFINITY, -1e300, 1e300, 0.0)
        val y = DoubleArray(count) { if (random.nextInt(9) == 0) odd.random(random) else random.nextDouble(-2.0, 9.0) }
        val curve = Series(DoubleArray(count) { it / 3.0 }, y)
        for (drawn in lossChart(curve, box).curves + accuracyChart(listOf(curve), box).curves) {
            for (points in drawn.lines + listOf(drawn.dots)) {
                val xs = points.filterIndexed { at, _ -> at % 2 == 0 }
                val ys = points.filterIndexed { at, _ -> at % 2 == 1 }
                assertTrue(xs.all { it in 9.99f..110.01f } && ys.all { it in 19.99f..70.01f })
                assertEquals(xs, xs.sorted())
            }
        }
    }

    private fun series(vararg points: Pair<Double, Double>) =
        Series(points.map { it.first }.toDoubleArray(), points.map { it.second }.toDoubleArray())
}
