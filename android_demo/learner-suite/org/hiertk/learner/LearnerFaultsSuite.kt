package org.hiertk.learner

import org.hiertk.core.BundleException
import org.hiertk.core.ConfigException
import org.hiertk.core.EngineException
import org.hiertk.core.StorageException
import org.hiertk.core.bundle.Backend
import org.hiertk.core.golden.GoldenSteps
import org.hiertk.core.learning.EdgeLearner
import org.hiertk.core.learning.ExitRow
import org.hiertk.core.temporaryOf
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.Paths
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** What every `EdgeLearner` refuses, and what it is then: as it was. */
abstract class LearnerFaultsSuite(engine: TestedEngine) : TestedEngine by engine {
    @TempDir
    lateinit var folder: Path

    private val golden by lazy { GoldenSteps(bundle) }
    private val samples get() = golden.labels(0).size
    private val channels get() = bundle.manifest.features.shape[0]
    private val capacity get() = bundle.manifest.classes.capacity
    private val untouched by lazy { open().use(golden::train) }

    @Test
    fun `labels without an open slot are refused, and change nothing`() {
        assertRefusedUnchanged { it.step(golden.images(0), IntArray(samples) { 10 }) }
        assertRefusedUnchanged { it.step(golden.images(0), IntArray(samples) { -1 }) }
        assertRefusedUnchanged { it.step(golden.images(0), IntArray(samples - 1)) }
    }

    @Test
    fun `images of another size, none, or with NaN are refused, and change nothing`() {
        assertRefusedUnchanged { it.step(FloatArray(3 * 31 * 31), IntArray(1)) }
        assertRefusedUnchanged { it.step(FloatArray(0), IntArray(0)) }
        assertRefusedUnchanged { it.step(golden.images(0).also { values -> values[7] = Float.NaN }, golden.labels(0)) }
        assertRefusedUnchanged { it.predict(FloatArray(bundle.manifest.input.values + 1)) }
    }

    @Test
    fun `rows, slots, rates and priors that cannot be are refused, and change nothing`() {
        val row = FloatArray(channels)
        assertRefusedUnchanged { it.openSlot(capacity) }
        assertRefusedUnchanged { it.openSlot(10, ExitRow(row.copyOf(3), 0f)) }
        assertRefusedUnchanged { it.openSlot(10, ExitRow(row, Float.NaN)) }
        assertRefusedUnchanged { it.closeSlot(-1) }
        assertRefusedUnchanged { it.exitRows(listOf(0, capacity)) }
        assertRefusedUnchanged { it.learningRate = 0f }
        assertRefusedUnchanged { it.adjust(FloatArray(3)) }
    }

    @Test
    fun `a loss that is not finite does not update the weights`() {
        open().use { learner ->
            val rows = learner.exitRows((0 until capacity).toList())
            assertThrows<EngineException> {
                learner.step(FloatArray(golden.images(0).size) { if (it % 2 == 0) 3e38f else -3e38f }, golden.labels(0))
            }
            assertEquals(0, learner.edgeStep)
            for ((one, other) in rows.zip(learner.exitRows((0 until capacity).toList()))) {
                assertContentEquals(one.weight, other.weight)
            }
        }
    }

    @Test
    fun `a bundle for another version or backend is refused`() {
        val engine = bundle.manifest.engine
        val other = Backend.values().first { it != engine.backend }
        for ((from, to) in listOf(engine.version to "0.1.2", nameOf(engine.backend) to nameOf(other))) {
            val error = assertThrows<BundleException> { open(copyOf(bundle, folder) { it.replace("\"$from\"", "\"$to\"") }) }
            assertTrue("export it" in error.message.orEmpty())
        }
    }

    @Test
    fun `a checkpoint of another bundle, or of none, is refused`() {
        val file = folder.resolve("checkpoint")
        open().use { it.save(file) }
        val error = assertThrows<BundleException> { open(copyOf(bundle, folder) { it.replace("class-3", "class-x") }, file) }
        assertTrue("checkpoint of bundle" in error.message.orEmpty())
        assertThrows<BundleException> { open(checkpoint = bundle.path("golden/steps.safetensors")) }
    }

    @Test
    fun `a full disk is a StorageException, and leaves the checkpoint before it`() {
        val file = folder.resolve("checkpoint")
        open().use { learner ->
            learner.save(file)
            val before = Files.readAllBytes(file)
            Files.createSymbolicLink(temporaryOf(file), Paths.get("/dev/full"))
            learner.step(golden.images(0), golden.labels(0))
            assertThrows<StorageException> { learner.save(file) }
            assertContentEquals(before, Files.readAllBytes(file))
            learner.save(file)
        }
        open(checkpoint = file).use { assertEquals(1, it.edgeStep) }
    }

    private fun assertRefusedUnchanged(work: (EdgeLearner) -> Unit) {
        open().use { learner ->
            assertThrows<ConfigException> { work(learner) }
            assertEquals(0, learner.edgeStep)
            assertEquals((0..9).toSet(), learner.openSlots)
            assertSame(untouched, golden.train(learner))
        }
    }

    private fun nameOf(backend: Backend): String = backend.name.lowercase()
}
