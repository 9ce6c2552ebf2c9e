package org.hiertk.core.rehearsal

import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.constraints.IntRange
import net.jqwik.api.constraints.Size
import org.junit.jupiter.api.Test
import kotlin.math.abs
import kotlin.random.Random
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class ReservoirTest {
    @Property(tries = 300)
    fun `any sequence of adds stays in its bound and is balanced within one`(
        @ForAll @Size(max = 200) adds: IntArray,
        @ForAll @IntRange(min = 0, max = 30) capacity: Int,
    ) {
        val reservoir = Reservoir(capacity)
        val stream = adds.map { slotOf(it) }
        stream.forEachIndexed { index, slot -> offer(reservoir, slot, sample = index, Random(index)) }
        assertEquals(minOf(capacity, stream.size), reservoir.size)
        val kept = reservoir.cells()
        assertEquals(kept.size, kept.toSet().size)
        val seen = stream.groupingBy { it }.eachCount()
        val most = seen.keys.maxOfOrNull(reservoir::count) ?: 0
        for ((slot, count) in seen) {
            assertEquals(count.toLong(), reservoir.states.getValue(slot).seen)
            // All of a small class, or as many as the largest has, but for one.
            assertTrue(reservoir.count(slot) == count || reservoir.count(slot) >= most - 1)
        }
    }

    @Test
    fun `of a full class all samples are kept equally often, old or new`() {
        val runs = 6000
        val kept = IntArray(60)
        repeat(runs) { run ->
            val reservoir = Reservoir(12)
            val random = Random(run)
            for (sample in 0 until 60) {
                offer(reservoir, slot = 0, sample, random)
                if (sample % 20 == 0) offer(reservoir, slot = 1, sample = 1000 + sample, random)
            }
            reservoir.cells().filter { it < 60 }.forEach { kept[it]++ }
        }
        val expected = runs * 9 / 60.0 // slot 1 keeps its three
        assertTrue(kept.all { abs(it - expected) < 0.17 * expected }, kept.joinToString())
    }

    @Test
    fun `after a removal there is room for whatever class`() {
        val reservoir = Reservoir(10)
        repeat(30) { offer(reservoir, slot = it % 2, sample = it, Random(it)) }
        reservoir.forget(0)
        assertEquals(5, reservoir.size)
        repeat(5) { offer(reservoir, slot = 1, sample = 100 + it, Random(it)) }
        assertEquals(10, reservoir.count(1))
    }

    @Test
    fun `merged classes are one, a lost one is none, and slots may swap`() {
        val reservoir = Reservoir(40)
        repeat(40) { offer(reservoir, slot = it % 4, sample = it, Random(it)) }
        val moved = reservoir.moved(mapOf(0 to 1, 1 to 0, 2 to 0, 3 to null))
        assertEquals(listOf(20, 10, 0, 30), listOf(moved.count(0), moved.count(1), moved.count(3), moved.size))
        assertEquals(listOf(20L, 10L), listOf(0, 1).map { moved.states.getValue(it).seen })
    }

    @Property(tries = 200)
    fun `what is drawn is different, and as even as the classes hold out`(
        @ForAll @Size(max = 60) adds: IntArray,
        @ForAll @IntRange(min = 0, max = 80) count: Int,
    ) {
        val reservoir = Reservoir(100)
        val slotOfSample = adds.map { slotOf(it) }
        slotOfSample.forEachIndexed { index, slot -> offer(reservoir, slot, sample = index, Random(index)) }
        val drawn = reservoir.draw(count, Random(count), slots = null)
        assertEquals(minOf(count, adds.size), drawn.size)
        assertEquals(drawn.size, drawn.toSet().size)
        val sizes = drawn.groupingBy { slotOfSample[it] }.eachCount()
        val most = sizes.values.maxOrNull() ?: 0
        for (slot in slotOfSample.toSet()) {
            val of = sizes[slot] ?: 0
            assertTrue(of == reservoir.count(slot) || of >= most - 1)
        }
        val ofOne = reservoir.draw(count, Random(count), setOf(2))
        assertTrue(ofOne.all { slotOfSample[it] == 2 } && ofOne.size == minOf(count, reservoir.count(2)))
    }

    /** Most are of a few classes. */
    private fun slotOf(number: Int) = Math.floorMod(number, 7) * Math.floorMod(number / 7, 2)

    private fun offer(reservoir: Reservoir, slot: Int, sample: Int, random: Random) {
        when (val choice = reservoir.choose(slot, random)) {
            is Choice.NotKept -> Unit
            is Choice.TakesRoom -> reservoir.put(slot, sample)
            is Choice.TakesPlace -> {
                reservoir.take(choice.ofSlot, choice.ofCell)
                reservoir.put(slot, sample)
            }
        }
        reservoir.see(slot)
    }
}
