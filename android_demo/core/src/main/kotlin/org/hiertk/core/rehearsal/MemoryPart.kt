/** One part of the memory, the rehearsed or the held-out one: a reservoir whose samples are cells of a file. */
package org.hiertk.core.rehearsal

import java.nio.file.Path
import kotlin.random.Random

/** A labelled image. pixels: (size, size, 3) 8-bit RGB. */
class Sample(val pixels: ByteArray, val slot: Int)

/** The caller holds the memory's lock; what reads or writes the file throws IOException. */
internal class MemoryPart(
    path: Path,
    rawBytes: Int,
    capacity: Int,
    states: Map<Int, ClassState>,
    slotOfLabel: (Int) -> Int?,
    private val random: Random,
) : AutoCloseable {
    private val file = CellFile(path, rawBytes)
    private val heads = HashMap<Int, Head>() // of all cells that are not free, by cell
    private val slots = HashMap<Int, Int>() // of the samples, by cell

    var reservoir = Reservoir(capacity, states)
        private set

    /** Number of samples that were not as they were stored. */
    var damaged = 0
        private set

    /** The highest number of arrival in it; 0 if it is empty. */
    val newest: Long get() = heads.values.maxOfOrNull { it.number } ?: 0

    init {
        load(slotOfLabel)
        fit()
    }

    /** Offer a sample; return whether it is kept. */
    fun add(slot: Int, label: Int, number: Long, pixels: ByteArray): Boolean {
        val choice = reservoir.choose(slot, random)
        val cell = when (choice) {
            is Choice.NotKept -> null
            is Choice.TakesRoom -> freeCell()
            is Choice.TakesPlace -> choice.ofCell
        }
        if (cell != null) {
            val head = Head(label, number, (reservoir.states[slot]?.seen ?: 0) + 1)
            file.write(cell, head, pixels)
            if (choice is Choice.TakesPlace) reservoir.take(choice.ofSlot, cell)
            put(slot, cell, head)
        }
        reservoir.see(slot)
        return cell != null
    }

    /** Return different samples, as evenly from these classes as they hold out; null: from all. */
    fun draw(count: Int, random: Random, slots: Set<Int>?): List<Sample> = read(reservoir.draw(count, random, slots))

    /** Return a slice of the samples in the order of arrival. */
    fun inOrder(offset: Int, most: Int): List<Sample> =
        read(reservoir.cells().sortedBy { heads.getValue(it).number }.drop(offset).take(most))

    /** Note the slots that classes have now; samples of a class without one are none from here on. */
    fun move(moves: Map<Int, Int?>) {
        reservoir = reservoir.moved(moves)
        for ((cell, slot) in slots.toList()) {
            val target = moves[slot]
            if (target == null) slots.remove(cell) else slots[cell] = target
        }
    }

    /** Take a class out. */
    fun forget(slot: Int) {
        reservoir.forget(slot)
        slots.values.removeAll { it == slot }
    }

    /** Overwrite what is in cells without being a sample. */
    fun wipeStrangers() {
        val strangers = heads.keys - slots.keys
        for (cell in strangers) {
            file.wipe(cell)
            heads.remove(cell)
        }
        if (strangers.isNotEmpty()) file.sync()
    }

    fun sync() = file.sync()

    override fun close() = file.close()

    private fun load(slotOfLabel: (Int) -> Int?) {
        for (cell in 0 until file.count) {
            val content = file.content(cell)
            if (content is Content.Damaged) drop(cell)
            if (content !is Content.Held) continue
            heads[cell] = content.head
            val slot = slotOfLabel(content.head.label) ?: continue
            put(slot, cell, content.head)
            reservoir.sawAtLeast(slot, content.head.seen)
        }
        wipeStrangers()
    }

    /** Bring a file to a lower capacity: the largest classes give up samples, the others move to the front. */
    private fun fit() {
        for (cell in reservoir.shrinkTo(reservoir.capacity, random)) slots.remove(cell)
        wipeStrangers()
        for (cell in slots.keys.filter { it >= reservoir.capacity }) {
            val slot = slots.getValue(cell)
            val head = heads.getValue(cell)
            val pixels = file.pixels(cell)
            remove(slot, cell)
            if (pixels == null) {
                damaged++
                continue
            }
            val target = freeCell()
            file.write(target, head, pixels)
            put(slot, target, head)
        }
        file.truncate(reservoir.capacity)
    }

    private fun read(cells: List<Int>): List<Sample> = cells.mapNotNull { cell ->
        val pixels = file.pixels(cell)
        if (pixels == null) {
            drop(cell)
            null
        } else {
            Sample(pixels, slots.getValue(cell))
        }
    }

    private fun drop(cell: Int) {
        damaged++
        slots[cell]?.let { remove(it, cell) }
        file.wipe(cell)
    }

    private fun put(slot: Int, cell: Int, head: Head) {
        reservoir.put(slot, cell)
        slots[cell] = slot
        heads[cell] = head
    }

    private fun remove(slot: Int, cell: Int) {
        reservoir.take(slot, cell)
        slots.remove(cell)
        heads.remove(cell)
    }

    private fun freeCell() = (0 until reservoir.capacity).first { it !in heads }
}
