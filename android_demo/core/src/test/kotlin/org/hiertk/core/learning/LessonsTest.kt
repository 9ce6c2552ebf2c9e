package org.hiertk.core.learning

import org.hiertk.core.classes.DeviceClasses
import org.hiertk.core.classes.ExportedClasses
import org.hiertk.core.rehearsal.RehearsalMemory
import org.hiertk.core.rehearsal.Sample
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Path
import kotlin.random.Random
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue

class LessonsTest {
    @TempDir
    lateinit var folder: Path

    private val manifest = testManifest("red", "green", "blue", "grey")
    private val classes by lazy { DeviceClasses.open(folder.resolve("classes.json"), ExportedClasses(manifest)) }
    private val memory by lazy { RehearsalMemory.open(folder.resolve("memory"), manifest.input.values, 400_000, classes, Random(3)) }
    private val waiting = WaitingRoom(1L shl 20)
    private val lessons by lazy { Lessons(memory, waiting, Mix(32), exported = 4, random = Random(4)) }

    @AfterEach
    fun close() = memory.close()

    @Test
    fun `of one class at most an eighth of a step is new, and half a step's features are sent`() {
        remember(0, 1, 2, 3)
        val mug = capture("mug", 18)
        val lesson = assertNotNull(lessons.next())
        assertTrue(lesson.isStep)
        assertEquals(4, lesson.fresh)
        assertEquals(List(4) { mug }, lesson.samples.take(4).map { it.slot })
        assertEquals(32, lesson.samples.size)
        assertEquals(16, lesson.sent)
    }

    @Test
    fun `all captured images train, and then as many steps of practice follow as a new class owes`() {
        remember(0, 1, 2, 3)
        capture("mug", 18)
        val taken = generateSequence { lessons.next()?.also(lessons::done) }.toList()
        assertEquals(18, taken.sumOf { it.fresh })
        assertEquals(5, taken.count { it.fresh > 0 })
        assertEquals(5 * 3, taken.count { it.fresh == 0 })
    }

    @Test
    fun `a class that the bundle has owes no practice, nor does one of more than 200 images`() {
        remember(0, 1, 2, 3)
        capture("red", 8)
        assertEquals(0, generateSequence { lessons.next()?.also(lessons::done) }.count { it.fresh == 0 })
        val mug = classes.nameNew("mug")
        imagesOf(9, 201).forEach { memory.add(it, mug) }
        capture("mug", 8)
        assertEquals(0, generateSequence { lessons.next()?.also(lessons::done) }.count { it.fresh == 0 })
    }

    @Test
    fun `images of one class alone make no step, and are done`() {
        capture("mug", 18)
        val lesson = assertNotNull(lessons.next())
        assertFalse(lesson.isStep)
        lessons.done(lesson)
        assertTrue(generateSequence { lessons.next()?.also(lessons::done) }.none { it.isStep })
        assertEquals(0, waiting.size)
        assertNull(lessons.next())
    }

    @Test
    fun `a lesson that is not done comes again`() {
        remember(0, 1)
        capture("mug", 3)
        val first = assertNotNull(lessons.next())
        val again = assertNotNull(lessons.next())
        assertEquals(first.samples.take(first.fresh), again.samples.take(again.fresh))
    }

    @Test
    fun `a program of a fixed batch size trains once there is a whole batch`() {
        val fixed = Lessons(memory, waiting, Mix(16, fewest = 16), exported = 4, random = Random(4))
        imagesOf(0, 6).forEach { memory.add(it, 0) }
        capture("mug", 6)
        // 6 red and 6 mug are kept, 6 mug wait.
        assertEquals(16, assertNotNull(fixed.next()).samples.size)
        val few = Lessons(memory, waiting, Mix(64, fewest = 64), exported = 4, random = Random(4))
        assertFalse(assertNotNull(few.next()).isStep)
    }

    @Test
    fun `what a restart lost of a new class is practised`() {
        remember(0, 1)
        val mug = classes.nameNew("mug")
        imagesOf(9, 18).forEach { memory.add(it, mug) }
        lessons.catchUp(openSlots = setOf(0, 1, 2, 3))
        val lesson = assertNotNull(lessons.next())
        assertTrue(lesson.isStep && lesson.samples.any { it.slot == mug })
        assertTrue(lessons.owedPractice in 10..100)
        lessons.catchUp(openSlots = setOf(0, 1, 2, 3, mug))
    }

    @Test
    fun `a full waiting room takes no more, and classes that move or go take their images along`() {
        val small = WaitingRoom(3L * manifest.input.values)
        val images = imagesOf(1, 4)
        assertEquals(listOf(true, true, true, false), images.mapIndexed { at, one -> small.add(Sample(one, at % 2)) })
        small.move(mapOf(0 to 1, 1 to null))
        assertEquals(listOf(1, 1), small.oldest(9).map { it.slot })
        small.forget(1)
        assertTrue(small.add(Sample(images[0], 5)))
        assertEquals(1, small.size)
    }

    private fun remember(vararg slots: Int) =
        slots.forEach { slot -> imagesOf(slot, 12).forEach { memory.add(it, slot) } }

    private fun capture(name: String, count: Int): Int {
        val slot = classes.nameNew(name)
        for (pixels in imagesOf(9, count)) {
            memory.add(pixels, slot)
            waiting.add(Sample(pixels, slot))
        }
        return slot
    }
}
