package org.hiertk.learner.ort

import org.hiertk.core.BundleException
import org.hiertk.core.ConfigException
import org.hiertk.core.EngineException
import org.hiertk.core.StorageException
import org.hiertk.core.bundle.Bundle
import org.hiertk.core.bundle.openBundle
import org.hiertk.core.golden.GoldenSteps
import org.hiertk.core.golden.Safetensors
import org.hiertk.core.learning.ExitRow
import org.hiertk.core.learning.StepResult
import org.hiertk.core.temporaryOf
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.Paths
import kotlin.math.abs
import kotlin.math.exp
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class OrtLearnerTest {
    @TempDir
    lateinit var folder: Path

    private val bundle = RealEngine.bundle
    private val golden = GoldenSteps(bundle)
    private val capacity = bundle.manifest.classes.capacity
    private val channels = bundle.manifest.features.shape[0]

    @Test
    fun `its first steps are the PyTorch reference's within the export's tolerance`() {
        val checks = OrtLearner(bundle).use(golden::compare)
        assertEquals(golden.steps + 2, checks.size)
        for (check in checks) assertTrue(check.worst <= check.tolerance, "${check.what}: ${check.worst}")
        OrtLearner(bundle).use(golden::verify)
    }

    @Test
    fun `its steps are bit by bit those of the Python learner`() {
        val python = Safetensors(RealEngine.trainInPython(bundle, folder).resolve("results.safetensors"))
        val results = OrtLearner(bundle).use(::trainOnGolden)
        assertSame(python, results)
    }

    @Test
    fun `a checkpoint of the phone is read by the Python learner, with step and open slots`() {
        val file = folder.resolve("checkpoint")
        val results = OrtLearner(bundle).use { learner ->
            trainOnGolden(learner)
            learner.openSlot(12, rowOf(learner, 3))
            learner.closeSlot(0)
            learner.openSlot(0)
            learner.save(file)
            trainOnGolden(learner)
        }
        val out = RealEngine.trainInPython(bundle, folder.resolve("python"), file)
        val python = Safetensors(out.resolve("results.safetensors"))
        assertSame(python, results)
        assertEquals(2L * golden.steps, python.longs("edge_step").single())
        assertContentEquals((0L..9L).toList() + 12L, python.longs("open_slots").toList())
    }

    @Test
    fun `a checkpoint of the Python learner is resumed on the phone`() {
        val first = RealEngine.trainInPython(bundle, folder.resolve("one")).resolve("checkpoint")
        val second = RealEngine.trainInPython(bundle, folder.resolve("two"), first)
        OrtLearner(bundle, first).use { learner ->
            assertEquals(golden.steps.toLong(), learner.edgeStep)
            assertSame(Safetensors(second.resolve("results.safetensors")), trainOnGolden(learner))
        }
    }

    @Test
    fun `resuming from a checkpoint is as if nothing had been`() {
        val file = folder.resolve("checkpoint")
        val through = OrtLearner(bundle).use { learner ->
            learner.learningRate = 3e-3f
            trainOnGolden(learner)
            learner.save(file)
            trainOnGolden(learner)
        }
        val resumed = OrtLearner(bundle, file).use { learner ->
            assertEquals(golden.steps.toLong(), learner.edgeStep)
            learner.learningRate = 3e-3f
            trainOnGolden(learner)
        }
        assertSame(through, resumed)
        assertEquals(listOf("checkpoint"), folder.toFile().list().orEmpty().toList())
    }

    @Test
    fun `a full disk is a StorageException, and leaves the checkpoint before it`() {
        val file = folder.resolve("checkpoint")
        OrtLearner(bundle).use { learner ->
            learner.save(file)
            val before = Files.readAllBytes(file)
            Files.createSymbolicLink(temporaryOf(file), Paths.get("/dev/full"))
            learner.step(golden.images(0), golden.labels(0))
            assertThrows<StorageException> { learner.save(file) }
            assertContentEquals(before, Files.readAllBytes(file))
            learner.save(file)
        }
        OrtLearner(bundle, file).use { assertEquals(1, it.edgeStep) }
    }

    @Test
    fun `a new slot with an imprinted row is known afterwards, and other logits are what they were`() {
        OrtLearner(bundle).use { learner ->
            trainOnGolden(learner)
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
            assertTrue(learner.step(images, IntArray(8) { 14 }).loss < 0.5f)
        }
    }

    @Test
    fun `opening a slot in the middle of training leaves all else as it was`() {
        val plain = OrtLearner(bundle).use { learner ->
            trainOnGolden(learner)
            trainOnGolden(learner)
        }
        val opened = OrtLearner(bundle).use { learner ->
            trainOnGolden(learner)
            learner.openSlot(15, ExitRow(FloatArray(channels) { 0.5f }, 0.25f))
            learner.closeSlot(15)
            trainOnGolden(learner)
        }
        for ((one, other) in plain.zip(opened)) {
            assertEquals(one.loss, other.loss)
            assertContentEquals(one.features, other.features)
        }
    }

    @Test
    fun `rows are read as they were written`() {
        OrtLearner(bundle).use { learner ->
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
        OrtLearner(bundle).use { learner ->
            learner.closeSlot(9)
            val row = learner.exitRows(listOf(9)).single()
            val images = golden.images(0)
            val answer = learner.predict(images)
            learner.step(images, IntArray(8) { it })
            assertEquals(0f, exp(answer.logits[9] - answer.logits.copyOf(9).max()))
            assertContentEquals(row.weight, learner.exitRows(listOf(9)).single().weight)
            assertThrows<ConfigException> { learner.step(images, IntArray(8) { 9 }) }
        }
    }

    @Test
    fun `a prior is in the gradient, but not in what a step returns`() {
        val prior = FloatArray(capacity) { if (it < 5) 0f else -3f }
        val plain = OrtLearner(bundle).use(::trainOnGolden)
        val adjusted = OrtLearner(bundle).use { learner ->
            learner.adjust(prior)
            trainOnGolden(learner)
        }
        assertEquals(plain[0].loss, adjusted[0].loss, 1e-5f)
        for ((one, other) in plain[0].logits.zip(adjusted[0].logits)) {
            if (one > -1e8f) assertEquals(one, other, 1e-5f)
        }
        assertTrue(abs(plain[1].loss - adjusted[1].loss) > 1e-3f, "the prior changed nothing")
    }

    @Test
    fun `labels without an open slot are refused, and change nothing`() {
        assertRefusedUnchanged { it.step(golden.images(0), IntArray(8) { 10 }) }
        assertRefusedUnchanged { it.step(golden.images(0), IntArray(8) { -1 }) }
        assertRefusedUnchanged { it.step(golden.images(0), IntArray(7)) }
    }

    @Test
    fun `images of another size, none, or with NaN are refused, and change nothing`() {
        assertRefusedUnchanged { it.step(FloatArray(3 * 31 * 31), IntArray(1)) }
        assertRefusedUnchanged { it.step(FloatArray(0), IntArray(0)) }
        assertRefusedUnchanged { it.step(golden.images(0).also { values -> values[7] = Float.NaN }, golden.labels(0)) }
        assertRefusedUnchanged { it.predict(FloatArray(3 * 32 * 32 + 1)) }
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
        assertThrows<ConfigException> { OrtLearner(bundle, threads = 0) }
    }

    @Test
    fun `a loss that is not finite does not update the weights`() {
        OrtLearner(bundle).use { learner ->
            val rows = learner.exitRows((0 until capacity).toList())
            assertThrows<EngineException> {
                learner.step(FloatArray(8 * 3 * 32 * 32) { if (it % 2 == 0) 3e38f else -3e38f }, golden.labels(0))
            }
            assertEquals(0, learner.edgeStep)
            for ((one, other) in rows.zip(learner.exitRows((0 until capacity).toList()))) {
                assertContentEquals(one.weight, other.weight)
            }
        }
    }

    @Test
    fun `a bundle for another version or backend is refused`() {
        for ((from, to) in listOf("1.19.2" to "1.18.0", "\"onnxruntime\"" to "\"executorch\"")) {
            val error = assertThrows<BundleException> { OrtLearner(copyOfBundle(from, to)) }
            assertTrue("export it" in error.message.orEmpty())
        }
    }

    @Test
    fun `an engine that cannot train is refused with one line`() {
        val java = Paths.get(System.getProperty("java.home"), "bin", "java").toString()
        val classes = System.getProperty("java.class.path")
        val folder = bundle.folder.toString()
        val process = ProcessBuilder(java, "-cp", classes, WithoutTraining::class.java.name, folder).start()
        val printed = process.inputStream.bufferedReader().readText()
        assertEquals(0, process.waitFor())
        assertTrue(printed.startsWith("this onnxruntime 1.19.2 cannot train: "), printed)
        assertEquals(1, printed.trim().lines().size)
    }

    @Test
    fun `a checkpoint of another bundle, or of none, is refused`() {
        val file = folder.resolve("checkpoint")
        OrtLearner(bundle).use { it.save(file) }
        val error = assertThrows<BundleException> { OrtLearner(copyOfBundle("class-3", "class-x"), file) }
        assertTrue("checkpoint of bundle" in error.message.orEmpty())
        assertThrows<BundleException> { OrtLearner(bundle, bundle.path("edge/checkpoint")) }
    }

    /** Return the bundle with another manifest: whose file sums are still right. */
    private fun copyOfBundle(from: String, to: String): Bundle {
        val copy = Files.createTempDirectory(folder, "bundle")
        for (name in bundle.manifest.files.keys.filterNot { it.startsWith("cloud/") }) {
            Files.createDirectories(copy.resolve(name).parent)
            Files.copy(bundle.folder.resolve(name), copy.resolve(name))
        }
        val manifest = String(Files.readAllBytes(bundle.folder.resolve("manifest.json")))
        Files.write(copy.resolve("manifest.json"), manifest.replaceFirst(from, to).toByteArray())
        return openBundle(copy)
    }

    private fun assertRefusedUnchanged(work: (OrtLearner) -> Unit) {
        OrtLearner(bundle).use { learner ->
            assertThrows<ConfigException> { work(learner) }
            assertEquals(0, learner.edgeStep)
            assertEquals((0..9).toSet(), learner.openSlots)
            assertSame(untouched, trainOnGolden(learner))
        }
    }

    private fun trainOnGolden(learner: OrtLearner): List<StepResult> =
        List(golden.steps) { learner.step(golden.images(it), golden.labels(it)) }

    private fun rowOf(learner: OrtLearner, slot: Int): ExitRow = learner.exitRows(listOf(slot)).single()

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

    private companion object {
        val untouched: List<StepResult> by lazy {
            val golden = GoldenSteps(RealEngine.bundle)
            OrtLearner(RealEngine.bundle).use { learner ->
                List(golden.steps) { learner.step(golden.images(it), golden.labels(it)) }
            }
        }

        fun assertSame(wanted: List<StepResult>, got: List<StepResult>) {
            for ((one, other) in wanted.zip(got)) {
                assertEquals(one.loss, other.loss)
                assertContentEquals(one.features, other.features)
                assertContentEquals(one.logits, other.logits)
            }
        }

        fun assertSame(wanted: Safetensors, got: List<StepResult>) {
            assertContentEquals(wanted.floats("losses"), got.map { it.loss }.toFloatArray())
            assertContentEquals(wanted.floats("features"), joined(got.map { it.features }))
            assertContentEquals(wanted.floats("logits"), joined(got.map { it.logits }))
        }

        fun joined(parts: List<FloatArray>): FloatArray = parts.reduce { one, other -> one + other }
    }
}

/** A process of its own that has the desktop jar's own engine, which was built without training. */
object WithoutTraining {
    @JvmStatic
    fun main(arguments: Array<String>) {
        try {
            OrtLearner(openBundle(Paths.get(arguments[0])))
        } catch (error: EngineException) {
            println(error.message)
        }
    }
}
