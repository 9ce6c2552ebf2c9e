/**
 * Which samples are kept for rehearsal: a class-balanced reservoir, as a pure rule.
 *
 * Class-balancing reservoir sampling (CBRS): Chrysakis and Moens, Online Continual Learning from Imbalanced
 * Data, ICML 2020, algorithm 1.
 */
package org.hiertk.core.rehearsal

import kotlin.random.Random

/** What the rule remembers of a class. isFull: it was the largest class of a full reservoir once. */
internal data class ClassState(val seen: Long = 0, val isFull: Boolean = false)

/** What becomes of an offered sample. */
internal sealed class Choice {
    object NotKept : Choice()

    object TakesRoom : Choice()

    class TakesPlace(val ofSlot: Int, val ofCell: Int) : Choice()
}

/**
 * The cells of the samples kept, by class slot.
 *
 * As long as a class was never the largest of a full reservoir, all its samples are kept; from then on those
 * kept are a uniform draw from all that were seen. After a removal there is room again, which new samples
 * fill whatever their class.
 */
internal class Reservoir(val capacity: Int, states: Map<Int, ClassState> = emptyMap()) {
    private val classStates = HashMap(states)
    private val members = HashMap<Int, ArrayList<Int>>()

    var size = 0
        private set

    /** What to remember of each class seen. */
    val states: Map<Int, ClassState> get() = classStates

    /** Number of samples of a class. */
    fun count(slot: Int): Int = members[slot]?.size ?: 0

    /** The cells of all samples. */
    fun cells(): List<Int> = members.values.flatten()

    /** Return what becomes of one more sample of a class; nothing is changed but who was the largest. */
    fun choose(slot: Int, random: Random): Choice {
        if (size < capacity) return Choice.TakesRoom
        val largest = markLargest()
        val state = stateOf(slot)
        if (state.isFull) {
            val isKept = random.nextDouble() * (state.seen + 1) < count(slot)
            return if (isKept) randomOf(slot, random) else Choice.NotKept
        }
        return if (largest.isEmpty()) Choice.NotKept else randomOf(largest.random(random), random)
    }

    /** Count a sample that was offered. */
    fun see(slot: Int) {
        val state = stateOf(slot)
        classStates[slot] = state.copy(seen = state.seen + 1)
    }

    /** Remember that a class was seen so often at least. */
    fun sawAtLeast(slot: Int, seen: Long) {
        val state = stateOf(slot)
        if (seen > state.seen) classStates[slot] = state.copy(seen = seen)
    }

    /** Put a sample in. */
    fun put(slot: Int, cell: Int) {
        members.getOrPut(slot) { ArrayList() }.add(cell)
        size++
    }

    /** Take a sample out, if it is there. */
    fun take(slot: Int, cell: Int) {
        if (members[slot]?.remove(cell) == true) size--
    }

    /** Take out random samples of the largest classes until no more than `most` are left; return their cells. */
    fun shrinkTo(most: Int, random: Random): List<Int> {
        val gone = ArrayList<Int>()
        while (size > most) {
            val leaving = randomOf(markLargest().random(random), random)
            take(leaving.ofSlot, leaving.ofCell)
            gone.add(leaving.ofCell)
        }
        return gone
    }

    /** Take out a class, and what is remembered of it. */
    fun forget(slot: Int) {
        size -= count(slot)
        members.remove(slot)
        classStates.remove(slot)
    }

    /** Return one in which classes have other slots; two may have the same, or one none: it is left out. */
    fun moved(moves: Map<Int, Int?>): Reservoir {
        val moved = Reservoir(capacity)
        for ((slot, state) in classStates) {
            val target = moves[slot] ?: continue
            val other = moved.stateOf(target)
            moved.classStates[target] = ClassState(state.seen + other.seen, state.isFull || other.isFull)
        }
        for ((slot, cells) in members) {
            val target = moves[slot] ?: continue
            cells.forEach { moved.put(target, it) }
        }
        return moved
    }

    /** Return cells of different samples, as evenly from these classes as they hold out; null: from all. */
    fun draw(count: Int, random: Random, slots: Set<Int>?): List<Int> {
        val chosen = members.keys.filter { slots == null || it in slots }.sorted()
        var shuffled = chosen.map { members.getValue(it).shuffled(random).iterator() }.filter { it.hasNext() }
        val drawn = ArrayList<Int>()
        while (shuffled.isNotEmpty() && drawn.size < count) {
            shuffled.shuffled(random).take(count - drawn.size).forEach { drawn.add(it.next()) }
            shuffled = shuffled.filter { it.hasNext() }
        }
        return drawn
    }

    private fun stateOf(slot: Int) = classStates[slot] ?: ClassState()

    private fun randomOf(slot: Int, random: Random) = Choice.TakesPlace(slot, members.getValue(slot).random(random))

    /** Return the largest classes, from now on full. */
    private fun markLargest(): List<Int> {
        val top = members.values.maxOfOrNull { it.size } ?: 0
        if (top == 0) return emptyList()
        val largest = members.filterValues { it.size == top }.keys.sorted()
        for (slot in largest) classStates[slot] = stateOf(slot).copy(isFull = true)
        return largest
    }
}
