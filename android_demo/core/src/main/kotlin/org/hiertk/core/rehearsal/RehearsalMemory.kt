/**
 * The rehearsal memory: some of the labelled images that the device has met, so that it does not forget.
 *
 * Each tenth captured image of a class is held out: it only measures. Raw images never leave the device.
 */
package org.hiertk.core.rehearsal

import org.hiertk.core.ConfigException
import org.hiertk.core.StorageException
import org.hiertk.core.classes.ClassTable
import org.hiertk.core.classes.DeviceClasses
import org.hiertk.core.reasonOf
import org.hiertk.core.writeFolderAtomically
import java.io.IOException
import java.nio.file.Path
import kotlin.random.Random

const val DEFAULT_MEMORY_BYTES = 16L shl 20
private const val HELD_OUT_EVERY = 10
private const val MOST_SAMPLES = 1L shl 20
private const val REHEARSED = "rehearsed.cells"
private const val HELD_OUT = "held-out.cells"

/** The samples of a class. seen: offered for rehearsal so far. */
class ClassCount(val seen: Long, val kept: Int, val heldOut: Int)

/** Labelled images on the device; any thread may call anything. */
class RehearsalMemory private constructor(
    private val folder: Path,
    private val rawBytes: Int,
    maxBytes: Long,
    private val classes: DeviceClasses,
    read: Labels?,
    private val random: Random,
) : AutoCloseable {
    private val labelFile = LabelFile(folder)
    private var labels = read ?: Labels(rawBytes = rawBytes)
    private val rehearsed: MemoryPart
    private val heldOutPart: MemoryPart
    private val captured = HashMap<Int, Long>()
    private var number: Long
    private lateinit var table: ClassTable

    init {
        val heldOutBytes = maxBytes / HELD_OUT_EVERY
        rehearsed = part(REHEARSED, maxBytes - heldOutBytes, labels.rehearsed)
        heldOutPart = part(HELD_OUT, heldOutBytes, labels.heldOut)
        number = maxOf(rehearsed.newest, heldOutPart.newest)
        for (part in listOf(rehearsed, heldOutPart)) {
            part.reservoir.states.forEach { (slot, state) -> captured[slot] = (captured[slot] ?: 0) + state.seen }
        }
        classes.adopt(labels.known.values)
        follow()
    }

    /** Number of samples kept for rehearsal. */
    val size: Int @Synchronized get() = rehearsed.reservoir.size

    /** Number of samples that only measure. */
    val heldOutCount: Int @Synchronized get() = heldOutPart.reservoir.size

    /** Number of damaged samples met and dropped since the start. */
    val damaged: Int @Synchronized get() = rehearsed.damaged + heldOutPart.damaged

    /** The samples of each class slot that has, or had, any. */
    val counts: Map<Int, ClassCount>
        @Synchronized get() {
            val kept = rehearsed.reservoir
            val heldOut = heldOutPart.reservoir
            return (kept.states.keys + heldOut.states.keys).sorted().associateWith { slot ->
                ClassCount(kept.states[slot]?.seen ?: 0, kept.count(slot), heldOut.count(slot))
            }
        }

    /**
     * Take note of a captured image; return whether it is held out: then it must never be trained on.
     *
     * pixels: (size, size, 3) 8-bit RGB. Throws ConfigException for another size or a slot without a class,
     * StorageException.
     */
    @Synchronized
    fun holdOut(pixels: ByteArray, slot: Int): Boolean {
        check(pixels, slot)
        val count = (captured[slot] ?: 0) + 1
        val isHeldOut = count % HELD_OUT_EVERY == 0L && heldOutPart.reservoir.capacity > 0
        if (isHeldOut) store(heldOutPart, pixels, slot)
        captured[slot] = count
        return isHeldOut
    }

    /** Offer an image that was trained on; return whether it is kept. Throws as `holdOut` does. */
    @Synchronized
    fun add(pixels: ByteArray, slot: Int): Boolean {
        check(pixels, slot)
        return store(rehearsed, pixels, slot)
    }

    /**
     * Return different samples, as evenly from these classes (null: all) as they hold out.
     *
     * Fewer where there are fewer, or damaged ones among them. Throws StorageException.
     */
    @Synchronized
    fun draw(count: Int, random: Random, slots: Set<Int>? = null): List<Sample> =
        reporting {
            follow()
            rehearsed.draw(count, random, slots)
        }

    /** Return a slice of the held-out samples, in the order of arrival. Throws StorageException. */
    @Synchronized
    fun heldOut(offset: Int, most: Int): List<Sample> = reporting {
        follow()
        heldOutPart.inOrder(offset, most)
    }

    /**
     * Overwrite every image of a class, and forget its counts.
     *
     * Throws StorageException; the next opening, or a repetition, does the rest then.
     */
    @Synchronized
    fun remove(slot: Int) {
        write(withStates(labels).without(slot))
        listOf(rehearsed, heldOutPart).forEach { it.forget(slot) }
        captured.remove(slot)
        wipe()
    }

    /**
     * Move all images to the slots that their classes have now; overwrite those of lost classes.
     *
     * It is done whenever the memory is used, too: let the classes follow a map in the learning thread only.
     * Throws StorageException; the next opening, or a repetition, does the rest then.
     */
    @Synchronized
    fun follow() {
        val newer = classes.table
        if (!::table.isInitialized || newer != table) moveTo(newer)
        wipe()
    }

    /** Make everything survive a power cut. Throws StorageException. */
    @Synchronized
    fun flush() {
        reporting {
            rehearsed.sync()
            heldOutPart.sync()
        }
        write(withStates(labels))
    }

    /** Write what is only remembered and close the files. Throws StorageException. */
    @Synchronized
    override fun close() {
        try {
            flush()
        } finally {
            reporting { rehearsed.use { heldOutPart.close() } }
        }
    }

    /** Take what a bundle brings along; images of classes that are gone by now are left out. */
    private fun beginWith(images: Sequence<ExportedImage>) {
        for (image in images) {
            val slot = table.slotOf(image.name) ?: continue
            if (!holdOut(image.pixels, slot)) add(image.pixels, slot)
        }
    }

    private fun moveTo(newer: ClassTable) {
        val moves = newer.moves(labels.known)
        val (kept, heldOut) = listOf(rehearsed, heldOutPart).map { it.reservoir.moved(moves).states }
        write(labels.following(newer).withStates(kept, heldOut))
        rehearsed.move(moves)
        heldOutPart.move(moves)
        val before = HashMap(captured)
        captured.clear()
        for ((slot, count) in before) moves[slot]?.let { captured[it] = (captured[it] ?: 0) + count }
        table = newer
    }

    private fun check(pixels: ByteArray, slot: Int) {
        follow()
        if (pixels.size != rawBytes) {
            throw ConfigException("an image must have $rawBytes bytes of 8-bit RGB, not ${pixels.size}: resize it")
        }
        if (slot !in table.bySlot) throw ConfigException("slot $slot has no class on this phone now")
    }

    private fun store(part: MemoryPart, pixels: ByteArray, slot: Int): Boolean {
        val label = labels.of(slot) ?: newLabel(slot)
        val isKept = reporting { part.add(slot, label, number + 1, pixels) }
        number++
        return isKept
    }

    private fun newLabel(slot: Int): Int {
        write(withStates(labels).with(slot, table.bySlot.getValue(slot)))
        return labels.rows.last().label
    }

    private fun withStates(labels: Labels) =
        labels.withStates(rehearsed.reservoir.states, heldOutPart.reservoir.states)

    private fun write(next: Labels) {
        labelFile.write(next)
        labels = next
    }

    private fun wipe() = reporting {
        rehearsed.wipeStrangers()
        heldOutPart.wipeStrangers()
    }

    private fun part(name: String, bytes: Long, states: List<StateRow>): MemoryPart {
        val capacity = minOf(MOST_SAMPLES, bytes / (HEAD_BYTES + rawBytes)).toInt()
        return MemoryPart(folder.resolve(name), rawBytes, capacity, statesOf(states), labels::slotOf, random)
    }

    private fun <T> reporting(block: () -> T): T = reporting(folder, block)

    companion object {
        /**
         * Open or create the memory, and bring it up to date with the classes.
         *
         * rawBytes: of an image, 3 * size * size. maxBytes: of all images together; some KB come on top.
         * exported: gives what a new one begins with. One of another image size, or whose labels are damaged,
         * is deleted, and a new one begun. Throws StorageException, and what `exported` throws.
         */
        fun open(
            folder: Path,
            rawBytes: Int,
            maxBytes: Long,
            classes: DeviceClasses,
            random: Random = Random.Default,
            exported: () -> Sequence<ExportedImage> = { emptySequence() },
        ): RehearsalMemory = reporting(folder) {
            fun memory(place: Path) =
                RehearsalMemory(place, rawBytes, maxBytes, classes, LabelFile(place).read(), random)
            if (LabelFile(folder).read()?.rawBytes != rawBytes) {
                // As a whole: labels that are given anew must not stand for the images of older ones.
                writeFolderAtomically(folder) { fresh -> memory(fresh).use { it.beginWith(exported()) } }
            }
            memory(folder)
        }
    }
}

private fun <T> reporting(folder: Path, block: () -> T): T =
    try {
        block()
    } catch (error: IOException) {
        throw StorageException("the rehearsal memory $folder: ${reasonOf(error)}: free some storage", error)
    }
