package org.hiertk.core.learning

import org.hiertk.core.classes.ClassMap
import org.hiertk.core.classes.ClassSlot
import org.hiertk.core.rehearsal.ExportedImage
import org.hiertk.protocol.DeviceStatus
import org.hiertk.protocol.FeatureBatch
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.atomic.AtomicInteger
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertTrue

private const val RED = 1
private const val GREEN = 2
private const val MUG = 3

@Timeout(60)
class LearningLoopTest {
    @TempDir
    lateinit var folder: Path

    @Test
    fun `twenty images of a new class teach it without a link, and it is known after a restart`() {
        TestPhone(folder).use { phone ->
            phone.start()
            phone.learn("red" to RED, "green" to GREEN, "mug" to MUG)
            for ((name, kind) in listOf("red" to RED, "green" to GREEN, "mug" to MUG)) {
                assertTrue(phone.shareOf(kind, name) >= 0.9, name)
            }
            assertTrue(phone.ask(imagesOf(MUG, 1).single()).early.best.isProvisional)
            assertTrue(phone.spool.totals.held > 0)
        }
        TestPhone(folder).use { phone ->
            phone.start()
            assertTrue(phone.shareOf(MUG, "mug") >= 0.9)
            assertTrue(phone.shareOf(RED, "red") >= 0.9)
        }
    }

    @Test
    fun `features of half a step's images are sent, and a new class goes by its name`() {
        TestPhone(folder).use { phone ->
            phone.start()
            phone.learn("red" to RED, "green" to GREEN, "mug" to MUG)
            val messages = generateSequence(phone.spool.next(0)) { phone.spool.next(it.seq) }
                .map { FeatureBatch.parseFrom(it.message) }.toList()
            assertEquals(phone.loop.snapshot?.edgeStep, messages.size.toLong())
            assertTrue(messages.all { it.labelsCount <= BATCH_SIZE / 2 })
            assertTrue(messages.any { "mug" in it.newClassesList && it.labelsList.any { label -> label >= 65_536 } })
            assertEquals(listOf("phone-1"), messages.map { it.device }.distinct())
        }
    }

    @Test
    fun `what was taught just before the app is killed is learned after it`() {
        val killed = folder.resolve("killed")
        TestPhone(folder.resolve("first")).use { phone ->
            phone.start()
            phone.learn("red" to RED, "green" to GREEN)
            phone.loop.pause()
            phone.loop.teach("mug", imagesOf(MUG, 20))
            await("the images are stored") { phone.loop.snapshot?.waiting == 18 }
            copyTree(folder.resolve("first"), killed)
        }
        TestPhone(killed).use { phone ->
            phone.start()
            phone.awaitRest()
            assertTrue(phone.shareOf(MUG, "mug") >= 0.9)
            assertTrue(phone.shareOf(GREEN, "green") >= 0.8)
        }
    }

    @Test
    fun `the first class of all is known by its imprinted row, without a step that would make all one class`() {
        TestPhone(folder).use { phone ->
            phone.start()
            phone.learn("mug" to MUG)
            assertEquals(0L, phone.loop.snapshot?.edgeStep)
            assertTrue(phone.shareOf(MUG, "mug") >= 0.9)
        }
    }

    @Test
    fun `a fresh phone rehearses the bundle's images, so that its first new class displaces no class of the bundle`() {
        val bundled = listOf("red" to RED, "green" to GREEN)
            .flatMap { (name, kind) -> imagesOf(kind, 20, seed = 9).map { ExportedImage(it, name) } }
        TestPhone(folder, bundled = bundled).use { phone ->
            phone.start()
            phone.learn("mug" to MUG)
            assertTrue(checkNotNull(phone.loop.snapshot).edgeStep > 0)
            for ((name, kind) in listOf("red" to RED, "green" to GREEN, "mug" to MUG)) {
                assertTrue(phone.shareOf(kind, name) >= 0.9, name)
            }
            assertEquals(setOf(0, 1, CLASS_SLOTS - 1), phone.loop.snapshot?.measures?.heldOut?.keys)
        }
    }

    @Test
    fun `a prediction waits for one step at most, and only the newest frame is answered`() {
        val begun = AtomicInteger()
        TestPhone(folder, wrap = { SlowSteps(it, begun) }).use { phone ->
            phone.start()
            phone.loop.teach("red", imagesOf(RED, 20))
            phone.loop.teach("green", imagesOf(GREEN, 60))
            await("it trains") { begun.get() > 0 }
            imagesOf(RED, 30).forEachIndexed { number, pixels -> phone.loop.show(number.toLong(), pixels) }
            val before = begun.get()
            var answers = 0
            do answers++ while (phone.predictions.take().frame != 29L)
            assertTrue(answers <= 3, "$answers answers")
            // One that was going on, and one that may have begun before the last frame came.
            assertTrue(begun.get() - before <= 2, "${begun.get() - before} steps")
        }
    }

    @Test
    fun `closing ends the thread within one step and keeps what was learned`() {
        val begun = AtomicInteger()
        TestPhone(folder, wrap = { SlowSteps(it, begun) }).use { phone ->
            phone.start()
            phone.loop.teach("red", imagesOf(RED, 20))
            phone.loop.teach("green", imagesOf(GREEN, 60))
            await("it trains") { (phone.loop.snapshot?.edgeStep ?: 0) > 0 }
            val before = begun.get()
            phone.loop.close()
            assertTrue(begun.get() - before <= 2, "${begun.get() - before} steps")
            assertEquals(LearningState.STOPPED, phone.loop.snapshot?.state)
        }
        val found = Checkpoints(folder.resolve("checkpoints")).newest()
        assertTrue(PooledSoftmax(IMAGE_SIZE, CLASS_SLOTS, 2, assertNotNull(found).learnerFile).edgeStep > 0)
    }

    @Test
    fun `a paused phone keeps images and predicts, and learns when it goes on`() {
        TestPhone(folder).use { phone ->
            phone.start()
            phone.learn("red" to RED, "green" to GREEN)
            val steps = phone.loop.snapshot?.edgeStep
            phone.loop.pause()
            phone.loop.teach("mug", imagesOf(MUG, 20))
            await("the images wait") { phone.loop.snapshot?.waiting == 18 }
            assertNotNull(phone.ask(imagesOf(RED, 1).single()))
            assertEquals(LearningState.PAUSED, phone.loop.snapshot?.state)
            assertEquals(steps, phone.loop.snapshot?.edgeStep)
            phone.loop.resume()
            phone.awaitRest()
            assertTrue(phone.shareOf(MUG, "mug") >= 0.9)
        }
    }

    @Test
    fun `a class map that gives a provisional class its slot moves all that was learned`() {
        TestPhone(folder).use { phone ->
            phone.start()
            phone.learn("red" to RED, "green" to GREEN, "mug" to MUG)
            val before = phone.classes.table.slotOf("mug")
            phone.loop.handClassMap(mapWithMug(slot = 2))
            await("it is confirmed") { phone.loop.snapshot?.classMapVersion == 2L }
            assertEquals(CLASS_SLOTS - 1, before)
            assertEquals(2, phone.classes.table.slotOf("mug"))
            assertTrue(phone.shareOf(MUG, "mug") >= 0.9)
            assertFalse(phone.ask(imagesOf(MUG, 1).single()).early.best.isProvisional)
        }
        TestPhone(folder).use { phone -> assertTrue(phone.start().shareOf(MUG, "mug") >= 0.9) }
    }

    @Test
    fun `a new class that is deleted is predicted no more, until it is taught again`() {
        TestPhone(folder).use { phone ->
            phone.start()
            phone.learn("red" to RED, "green" to GREEN, "mug" to MUG)
            phone.loop.forget(checkNotNull(phone.classes.table.slotOf("mug")))
            await("it is deleted") { phone.line("mug").taught == 0L && !phone.line("mug").isKnown }
            assertEquals(0.0, phone.shareOf(MUG, "mug"))
            phone.learn("mug" to MUG)
            assertTrue(phone.shareOf(MUG, "mug") >= 0.9)
        }
    }

    @Test
    fun `the curves and held-out accuracies of what was taught are there`() {
        TestPhone(folder).use { phone ->
            phone.start()
            phone.learn("red" to RED, "green" to GREEN, "mug" to MUG)
            val snapshot = checkNotNull(phone.loop.snapshot)
            assertEquals(snapshot.edgeStep, snapshot.measures.lossCurve.x.last().toLong())
            assertEquals(setOf(0, 1, CLASS_SLOTS - 1), snapshot.measures.heldOut.keys)
            assertTrue(snapshot.measures.heldOutAccuracy >= 0.8)
            assertEquals(54L, snapshot.taught)
            assertEquals(2, phone.line("mug").heldOut)
            val status = snapshot.deviceStatus(8)
            assertEquals(DeviceStatus.State.WAITING, status.state)
            assertEquals(snapshot.edgeStep, status.edgeStep)
        }
    }

    private fun TestPhone.learn(vararg classes: Pair<String, Int>) {
        for ((name, kind) in classes) {
            val before = loop.snapshot?.taught ?: 0
            loop.teach(name, imagesOf(kind, 20))
            await("$name is taken") { (loop.snapshot?.taught ?: 0) > before }
            awaitRest()
        }
    }

    private fun TestPhone.line(name: String) = checkNotNull(loop.snapshot).classes.single { it.name == name }

    private fun mapWithMug(slot: Int) =
        ClassMap(2, listOf(ClassSlot(0, "red", 1), ClassSlot(1, "green", 1), ClassSlot(slot, "mug", 2)))

    private fun copyTree(from: Path, to: Path) = Files.walk(from).use { paths ->
        paths.forEach { Files.copy(it, to.resolve(from.relativize(it).toString())) }
    }
}

private class SlowSteps(private val learner: EdgeLearner, private val begun: AtomicInteger) : EdgeLearner by learner {
    override fun step(images: FloatArray, labels: IntArray): StepResult {
        begun.incrementAndGet()
        Thread.sleep(150)
        return learner.step(images, labels)
    }
}
