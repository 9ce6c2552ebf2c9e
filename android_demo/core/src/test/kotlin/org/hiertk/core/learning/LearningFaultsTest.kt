package org.hiertk.core.learning

import org.hiertk.core.ConfigException
import org.hiertk.core.EngineException
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.atomic.AtomicBoolean
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertTrue

private const val RED = 1
private const val GREEN = 2

@Timeout(60)
class LearningFaultsTest {
    @TempDir
    lateinit var folder: Path

    @Test
    fun `predictions go on while an engine's error pauses learning, which is tried again`() {
        val isBroken = AtomicBoolean(true)
        TestPhone(folder, wrap = { FailingSteps(it, isBroken) }).use { phone ->
            phone.start()
            phone.loop.teach("red", imagesOf(RED, 20))
            phone.loop.teach("green", imagesOf(GREEN, 20))
            await("it is told") { phone.loop.snapshot?.problems == listOf("the engine is broken") }
            assertEquals(LearningState.PAUSED, phone.loop.snapshot?.state)
            assertNotNull(phone.ask(imagesOf(RED, 1).single()))
            isBroken.set(false)
            phone.awaitRest()
            assertEquals(emptyList(), phone.loop.snapshot?.problems)
            assertTrue(phone.shareOf(RED, "red") >= 0.9)
        }
    }

    @Test
    fun `a disk that takes no checkpoint is told, predictions go on, and it is tried again`() {
        val file = folder.resolve("checkpoints")
        Files.write(file, ByteArray(1)) // where a folder should be
        assertEquals(1L, Files.size(file))
        TestPhone(folder).use { phone ->
            phone.start()
            phone.loop.teach("red", imagesOf(RED, 20))
            await("it is told") { phone.loop.snapshot?.problems?.size == 1 }
            assertContains(phone.loop.snapshot!!.problems.single(), "checkpoints")
            assertNotNull(phone.ask(imagesOf(RED, 1).single()))
            Files.delete(file)
            await("it is over") { phone.loop.snapshot?.problems?.isEmpty() == true }
            await("a checkpoint is there") { Files.isDirectory(file) }
        }
    }

    @Test
    fun `a name that cannot be one is told, and an image of another size is refused`() {
        TestPhone(folder).use { phone ->
            phone.start()
            phone.loop.teach("\u0007", imagesOf(RED, 1))
            await("it is told") { phone.loop.snapshot?.problems?.size == 1 }
            assertFailsWith<ConfigException> { phone.loop.teach("red", listOf(ByteArray(5))) }
        }
    }

    @Test
    fun `an engine that cannot be opened is told, and closing does not wait for it`() {
        TestPhone(folder, wrap = { throw EngineException("no engine here") }).use { phone ->
            phone.loop.start()
            await("it is told") { phone.loop.failure?.message == "no engine here" }
        }
    }
}

private class FailingSteps(private val learner: EdgeLearner, private val isBroken: AtomicBoolean) : EdgeLearner by learner {
    override fun step(images: FloatArray, labels: IntArray): StepResult {
        if (isBroken.get()) throw EngineException("the engine is broken")
        return learner.step(images, labels)
    }
}
