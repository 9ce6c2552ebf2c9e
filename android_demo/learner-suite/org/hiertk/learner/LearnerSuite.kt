package org.hiertk.learner

import org.hiertk.core.ConfigException
import org.hiertk.core.golden.GoldenSteps
import org.hiertk.core.learning.EdgeLearner
import org.hiertk.core.learning.ExitRow
import org.hiertk.core.tensors.Safetensors
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Path
import kotlin.math.abs
import kotlin.math.exp
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** What every `EdgeLearner` does. */
abstract class LearnerSuite(engine: TestedEngine) : TestedEngine by engine {
    @TempDir
    lateinit var folder: Path

    private val golden by lazy { GoldenSteps(bundle) }
    private val samples get() = golden.labels(0).size
    private val channels get() = bundle.manifest.features.shape[0]
    private val capacity get() = bundle.manifest.classes.capacity

    @Test
    fun `its first steps are the PyTorch reference's within the export's tolerance`() {
        val checks = open().use(golden::compare)
        assertEquals(golden.steps + 2, checks.size)
        for (check in checks) assertTrue(check.worst <= check.tolerance, "${check.what}: ${check.worst}")
        open().use(golden::verify)
    }

    @Test
    fun `its steps are bit by bit those of the Python learner`() {
        val python = Safetensors(Python.train(bundle, folder).resolve("results.safetensors"))
        val results = open().use(golden::train)
        assertSame(python, results)
    }

    @Test
    fun `a checkpoint of the phone is read by the Python learner, with step and open slots`() {
        val file = folder.resolve("checkpoint")
        val results = open().use { learner ->
            golden.train(learner)
            learner.openSlot(12, rowOf(learner, 3))
            learner.closeSlot(0)
            learner.openSlot(0)
            learner.save(file)
            golden.train(learner)
        }
        val out = Python.train(bundle, folder.resolve("python"), file)
        val python = Safetensors(out.resolve("results.safetensors"))
        assertSame(python, results)
        assertEquals(2L * golden.steps, python.longs("edge_step").single())
        assertContentEquals((0L..9L).toList() + 12L, python.longs("open_slots").toList())
    }

    @Test
    fun `a checkpoint of the Python learner is resumed on the phone`() {
        val first = Python.train(bundle, folder.resolve("one")).resolve("checkpoint")
        val second = Python.train(bundle, folder.resolve("two"), first)
        open(checkpoint = first).use { learner ->
            assertEquals(golden.steps.toLong(), learner.edgeStep)
            assertSame(Safetensors(second.resolve("results.safetensors")), golden.train(learner))
        }
    }

    @Test
    fun `resuming from a checkpoint is as if nothing had been`() {
        val file = folder.resolve("checkpoint")
        val through = open().use { learner ->
            learner.learningRate = 3e-3f
            golden.train(learner)
            learner.save(file)
            golden.train(learner)
        }
        val resumed = open(checkpoint = file).use { learner ->
            assertEquals(golden.steps.toLong(), learner.edgeStep)
            learner.learningRate = 3e-3f
            golden.train(learner)
        }
        assertSame(through, resumed)
        assertEquals(listOf("checkpoint"), folder.toFile().list().orEmpty().toList())
    }

    @Test
    fun `a new slot with an imprinted row is known afterwards, and other logits are what they were`() {
        open().use { learner ->
            golden.train(learner)
            val images = golden.images(0)
            val before = learner.predict(images)
            val mean = pooled(before.features).reduce { one, other -> FloatArray(channels) { one[it] + other[it] } }
            learner.openSlot(14, ExitRow(FloatArray(channels) { mean[it] }, 5f))
            val after = learner.predict(images)
            assertContentEquals(before.features, after.features)
            for (row in 0 until after.logits.size / capacity) {
                val logits = after.logits.copyOfRange(row * capacity, (row + 1) * capacity)
                for (slot in 0 until capacity) {
                    if (slot != 14) assertEquals(before.logits[row * capacity + slot], logits[slot])
                }
                assertEquals(14, logits.indices.maxByOrNull { logits[it] })
            }
            assertTrue(learner.step(images, IntArray(samples) { 14 }).loss < 0.5f)
        }
    }

    @Test
    fun `opening a slot in the middle of training leaves all else as it was`() {
        val plain = open().use { learner ->
            golden.train(learner)
            golden.train(learner)
        }
        val opened = open().use { learner ->
            golden.train(learner)
            learner.openSlot(15, ExitRow(FloatArray(channels) { 0.5f }, 0.25f))
            learner.closeSlot(15)
            golden.train(learner)
        }
        for ((one, other) in plain.zip(opened)) {
            assertEquals(one.loss, other.loss)
            assertContentEquals(one.features, other.features)
        }
    }

    @Test
    fun `rows are read as they were written`() {
        open().use { learner ->
            val row = ExitRow(FloatArray(channels) { it / 7f }, -1.5f)
            val others = learner.exitRows((0 until capacity).toList())
            learner.openSlot(11, row)
            learner.openSlot(3)
            for ((slot, read) in learner.exitRows((0 until capacity).toList()).withIndex()) {
                val wanted = if (slot == 11) row else others[slot]
                assertContentEquals(wanted.weight, read.weight)
                assertEquals(wanted.bias, read.bias)
            }
        }
    }

    @Test
    fun `a closed slot has no probability, no gradient, and keeps its row`() {
        open().use { learner ->
            learner.closeSlot(9)
            val row = learner.exitRows(listOf(9)).single()
            val images = golden.images(0)
            val answer = learner.predict(images)
            learner.step(images, IntArray(samples) { it })
            assertEquals(0f, exp(answer.logits[9] - answer.logits.copyOf(9).max()))
            assertContentEquals(row.weight, learner.exitRows(listOf(9)).single().weight)
            assertThrows<ConfigException> { learner.step(images, IntArray(samples) { 9 }) }
        }
    }

    @Test
    fun `a prior is in the gradient, but not in what a step returns`() {
        val prior = FloatArray(capacity) { if (it < 5) 0f else -3f }
        val plain = open().use(golden::train)
        val adjusted = open().use { learner ->
            learner.adjust(prior)
            golden.train(learner)
        }
        assertEquals(plain[0].loss, adjusted[0].loss, 1e-5f)
        for ((one, other) in plain[0].logits.zip(adjusted[0].logits)) {
            if (one > -1e8f) assertEquals(one, other, 1e-5f)
        }
        assertTrue(abs(plain[1].loss - adjusted[1].loss) > 1e-3f, "the prior changed nothing")
    }

    private fun rowOf(learner: EdgeLearner, slot: Int): ExitRow = learner.exitRows(listOf(slot)).single()

    /** Means of the features over height and width, a list of (channels,). */
    private fun pooled(features: FloatArray): List<FloatArray> {
        val plane = bundle.manifest.features.shape[1] * bundle.manifest.features.shape[2]
        return List(features.size / (channels * plane)) { row ->
            FloatArray(channels) { channel ->
                val start = (row * channels + channel) * plane
                features.copyOfRange(start, start + plane).average().toFloat()
            }
        }
    }
}
