package org.hiertk.core.rehearsal

import org.hiertk.core.ConfigException
import org.hiertk.core.StorageException
import org.hiertk.core.classes.DeviceClasses
import org.hiertk.core.classes.ExportedClasses
import org.hiertk.core.classes.Registry
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Files
import java.nio.file.Path
import kotlin.random.Random
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

class RehearsalMemoryTest {
    @TempDir
    lateinit var folder: Path

    private val exported = ExportedClasses("ab".repeat(32), listOf("cat", "dog", "hen"), capacity = 8)
    private val registry = Registry(exported.names, capacity = 8)
    private val cellBytes = HEAD_BYTES + RAW_BYTES

    @Test
    fun `what was added is drawn, with its label, and after a kill too`() {
        val memory = open()
        repeat(30) { memory.add(image(it), slot = it % 3) }
        for (one in listOf(memory, open())) {
            val drawn = one.draw(30, Random(1))
            assertEquals((0 until 30).toSet(), drawn.map { numberOf(it) }.toSet())
            assertTrue(drawn.all { it.slot == numberOf(it) % 3 && it.pixels.contentEquals(image(numberOf(it))) })
            assertEquals(listOf(2, 2), one.draw(4, Random(1), setOf(0, 2)).groupBy { it.slot }.values.map { it.size })
        }
    }

    @Test
    fun `its files stay within their bytes, and its classes even`() {
        val memory = open(maxBytes = 40L * cellBytes)
        repeat(500) { memory.add(image(it), slot = if (it % 25 == 0) 1 else 0) }
        assertEquals(36, memory.size)
        assertEquals(listOf(18, 18), memory.counts.values.map { it.kept })
        assertEquals(listOf(480L, 20L), memory.counts.values.map { it.seen })
        memory.close()
        val again = open(maxBytes = 40L * cellBytes)
        assertEquals(listOf(480L, 20L), again.counts.values.map { it.seen })
        assertTrue(Files.size(rehearsed) <= 36L * cellBytes)
    }

    @Test
    fun `what was seen is known after a kill, but for what came behind the newest kept image`() {
        val memory = open(maxBytes = 10L * cellBytes)
        repeat(200) { memory.add(image(it), slot = 0) }
        assertTrue(open(maxBytes = 10L * cellBytes).counts.getValue(0).seen in 100..200)
    }

    @Test
    fun `each tenth captured image of a class is held out and never rehearsed`() {
        val memory = open()
        val heldOut = (0 until 60).filter { number ->
            memory.holdOut(image(number), slot = number % 2).also { if (!it) memory.add(image(number), number % 2) }
        }
        assertEquals(listOf(18, 19, 38, 39, 58, 59), heldOut)
        assertEquals(heldOut, memory.heldOut(0, 100).map { numberOf(it) })
        assertEquals(heldOut.subList(2, 4), memory.heldOut(2, 2).map { numberOf(it) })
        assertTrue(memory.draw(100, Random(1)).none { numberOf(it) in heldOut })
        assertEquals(listOf(54, 6), listOf(memory.size, memory.heldOutCount))
        assertEquals(heldOut, open().heldOut(0, 100).map { numberOf(it) })
    }

    @Test
    fun `a torn write costs one image, which is counted, and its cell is used again`() {
        open().use { memory -> repeat(12) { memory.add(image(it), slot = 0) } }
        val bytes = Files.readAllBytes(rehearsed)
        bytes[3 * cellBytes + HEAD_BYTES + 5] = 99 // pixels
        bytes[7 * cellBytes + 9] = 99 // head
        Files.write(rehearsed, bytes.copyOf(11 * cellBytes + 40)) // the last one is cut off
        val memory = open()
        assertEquals(9, memory.draw(12, Random(1)).size)
        assertEquals(listOf(9, 3), listOf(memory.size, memory.damaged))
        repeat(3) { memory.add(image(100 + it), slot = 0) }
        assertEquals(12, open().draw(12, Random(1)).size)
        assertEquals(12L * cellBytes, Files.size(rehearsed))
    }

    @Test
    fun `images move with their class, and of a retired one nothing stays on the disk`() {
        val classes = classes()
        classes.nameNew("emu")
        val memory = open(classes)
        for (slot in listOf(0, 1, 2, 7)) repeat(10) { memory.holdOutOrAdd(image(slot * 10 + it), slot) }
        registry.add("emu")
        registry.merge("cat", into = "dog")
        registry.retire("hen")
        classes.follow(registry.map)
        memory.follow()
        for (one in listOf(memory, open(classes))) {
            assertEquals(mapOf(1 to 20, 3 to 10), one.counts.mapValues { it.value.kept + it.value.heldOut })
            assertTrue(one.draw(40, Random(1)).all { slotOf(numberOf(it)) == it.slot })
        }
        assertFalse(isOnDisk { it in 20..29 })
        assertTrue(isOnDisk { it in 0..9 })
    }

    @Test
    fun `killed after the classes were written, it follows when it is opened`() {
        val classes = classes()
        open(classes).use { memory -> repeat(9) { memory.add(image(it), slot = it % 3) } }
        registry.retire("dog")
        registry.add("emu") // in dog's slot
        classes.follow(registry.map)
        val memory = open(classes())
        assertEquals(setOf(0, 2), memory.draw(9, Random(1)).map { it.slot }.toSet())
        assertEquals(6, memory.size)
        assertFalse(isOnDisk { it % 3 == 1 })
    }

    @Test
    fun `provisional classes that only the memory knows are opened anew`() {
        val classes = classes()
        classes.nameNew("emu")
        open(classes).use { memory -> repeat(5) { memory.add(image(it), slot = 7) } }
        Files.delete(folder.resolve("classes.json"))
        val again = classes()
        val memory = open(again)
        assertEquals("emu", again.table.nameOf(7))
        assertEquals(5, memory.draw(9, Random(1)).count { it.slot == 7 })
    }

    @Test
    fun `a removed class is overwritten, and begins anew`() {
        val memory = open()
        repeat(40) { memory.holdOutOrAdd(image(it), slot = it % 2) }
        memory.remove(1)
        assertFalse(isOnDisk { it % 2 == 1 })
        assertEquals(setOf(0), memory.counts.keys)
        memory.add(image(50), slot = 1)
        assertEquals(1L, memory.counts.getValue(1).seen)
        assertEquals(19, open().size)
    }

    @Test
    fun `a lowered bound makes the files smaller, and the largest class gives`() {
        open(maxBytes = 100L * cellBytes).use { memory ->
            repeat(60) { memory.add(image(it), slot = if (it < 10) 1 else 0) }
        }
        val memory = open(maxBytes = 40L * cellBytes)
        assertEquals(listOf(26, 10), memory.counts.values.map { it.kept })
        val drawn = memory.draw(60, Random(1))
        assertEquals(36, drawn.size)
        assertTrue(drawn.all { it.slot == if (numberOf(it) < 10) 1 else 0 })
        assertEquals(36L * cellBytes, Files.size(rehearsed))
        memory.close()
        assertEquals(0, open(maxBytes = 0).size)
    }

    @Test
    fun `damaged labels, or another image size, begin a new memory`() {
        open().use { memory -> repeat(5) { memory.add(image(it), slot = 0) } }
        Files.write(folder.resolve("memory/labels.json"), byteArrayOf(123))
        assertEquals(0, open().size)
        open().use { memory -> repeat(5) { memory.add(image(it), slot = 0) } }
        assertEquals(0, RehearsalMemory.open(folder.resolve("memory"), 3, 1000, classes()).size)
        assertFalse(isOnDisk { true })
    }

    @Test
    fun `pixels of another size and slots without a class are refused`() {
        val memory = open()
        assertFailsWith<ConfigException> { memory.add(ByteArray(3), slot = 0) }
        assertFailsWith<ConfigException> { memory.holdOut(image(0), slot = 5) }
    }

    @Test
    fun `a disk that refuses a new class leaves the memory as it was`() {
        val memory = open()
        memory.add(image(0), slot = 0)
        Files.createDirectories(folder.resolve("memory/.labels.json.tmp/occupied"))
        assertFailsWith<StorageException> { memory.add(image(1), slot = 1) }
        assertTrue(memory.add(image(2), slot = 0))
        assertEquals(listOf(0, 2), memory.draw(9, Random(1)).map { numberOf(it) }.sorted())
    }

    private fun RehearsalMemory.holdOutOrAdd(pixels: ByteArray, slot: Int) {
        if (!holdOut(pixels, slot)) add(pixels, slot)
    }

    private val rehearsed: Path get() = folder.resolve("memory/rehearsed.cells")

    private fun classes() = DeviceClasses.open(folder.resolve("classes.json"), exported)

    private fun open(classes: DeviceClasses = classes(), maxBytes: Long = 1 shl 20) =
        RehearsalMemory.open(folder.resolve("memory"), RAW_BYTES, maxBytes, classes, Random(1))

    /** Images that tell their numbers. */
    private fun image(number: Int) = ByteArray(RAW_BYTES) { if (it < 4) MARK[it] else number.toByte() }

    private fun numberOf(sample: Sample) = sample.pixels[4].toInt()

    private fun slotOf(number: Int) = if (number / 10 == 7) 3 else 1

    private fun isOnDisk(wanted: (Int) -> Boolean) = listOf("rehearsed.cells", "held-out.cells").any { name ->
        val data = Files.readAllBytes(folder.resolve("memory/$name"))
        (0 until data.size - MARK.size).any { at ->
            MARK.indices.all { data[at + it] == MARK[it] } && wanted(data[at + MARK.size].toInt())
        }
    }

    private companion object {
        const val RAW_BYTES = 4 * 4 * 3
        val MARK = byteArrayOf(77, 65, 82, 75)
    }
}
