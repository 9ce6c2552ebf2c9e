package org.hiertk.learner.executorch

import org.hiertk.core.BundleException
import org.hiertk.core.ConfigException
import org.hiertk.core.EngineException
import org.hiertk.core.bundle.Bundle
import org.hiertk.core.golden.GoldenSteps
import org.hiertk.core.learning.EdgeLearner
import org.hiertk.core.learning.StepResult
import org.hiertk.core.learning.mixFor
import org.hiertk.core.tensors.FloatTensor
import org.hiertk.core.tensors.Safetensors
import org.hiertk.learner.LearnerFaultsSuite
import org.hiertk.learner.LearnerSuite
import org.hiertk.learner.Python
import org.hiertk.learner.assertSame
import org.hiertk.learner.copyOf
import org.hiertk.learner.train
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import java.nio.file.Files
import java.nio.file.Path
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class ExecutorchLearnerTest : LearnerSuite(RealEngine) {
    private val padding = RealEngine.padding

    @Test
    fun `padded batches, weight decay and nesterov give bit by bit the Python learner's steps`() {
        val python = Safetensors(Python.train(padding, folder, samples = 3).resolve("results.safetensors"))
        assertSame(python, open(padding).use { trainOnFewer(padding, it, 3) })
    }

    @Test
    fun `padding has no part in what is predicted or learned`() {
        val images = GoldenSteps(padding).images(0)
        val values = padding.manifest.input.values
        open(padding).use { learner ->
            val all = learner.predict(images + images.copyOf(values)) // a batch, and one image more
            for (row in 0..4) {
                val image = images.copyOfRange(row % 4 * values, (row % 4 + 1) * values)
                val one = learner.predict(image)
                assertContentEquals(one.logits, all.logits.copyOfRange(row * 16, (row + 1) * 16))
                assertEquals(padding.manifest.features.values, one.features.size)
            }
        }
    }

    @Test
    fun `the learning loop hands a program what it can train on`() {
        assertEquals(4, mixFor(bundle.manifest).fewest)
        assertEquals(2, mixFor(padding.manifest).fewest)
    }

    @Test
    fun `a row that is given to a slot begins without momentum`() {
        val golden = GoldenSteps(bundle)
        open().use { learner ->
            golden.train(learner)
            val row = learner.exitRows(listOf(3)).single()
            learner.closeSlot(3)
            learner.openSlot(3, row)
            learner.closeSlot(3)
            learner.step(golden.images(0), IntArray(4) { it % 3 })
            assertContentEquals(row.weight, learner.exitRows(listOf(3)).single().weight)
        }
    }
}

class ExecutorchLearnerFaultsTest : LearnerFaultsSuite(RealEngine) {
    private val golden = GoldenSteps(bundle)

    @Test
    fun `batches that the program cannot train on are refused, and change nothing`() {
        open().use { learner ->
            val error = assertThrows<ConfigException> { trainOnFewer(bundle, learner, 3) }
            assertTrue("--normalization group" in error.message.orEmpty())
            val twice = golden.images(0) + golden.images(0)
            assertThrows<ConfigException> { learner.step(twice, IntArray(8)) }
            assertSame(open().use(golden::train), golden.train(learner))
        }
        open(RealEngine.padding).use { learner ->
            assertThrows<ConfigException> { learner.step(golden.images(0) + golden.images(1), IntArray(8)) }
        }
    }

    @Test
    fun `an engine that fails in the middle, or gives something else, changes nothing`() {
        val faults: List<(List<FloatTensor>) -> List<FloatTensor>> = listOf(
            { throw EngineException("broken") },
            { it.dropLast(1) },
            { it.dropLast(1) + FloatTensor(listOf(1), FloatArray(1)) },
            { listOf(FloatTensor(listOf(1), floatArrayOf(Float.NaN))) + it.drop(1) },
            { listOf(it[0], it[2], it[1]) + it.drop(3) },
        )
        val wanted = open().use(golden::train)
        for (fault in faults) {
            var isBroken = true
            val learner = ExecutorchLearner(bundle) { file -> Faulty(PipedProgram(file)) { if (isBroken) fault(it) else it } }
            val error = assertThrows<Exception> { golden.train(learner) }
            assertTrue(error is EngineException || error is BundleException, error.toString())
            isBroken = false
            assertSame(wanted, golden.train(learner))
        }
    }

    @Test
    fun `files of a bundle that do not fit each other are refused with one line`() {
        val names = Files.readAllBytes(bundle.path("edge/state.json"))
        val program = Files.readAllBytes(bundle.path("edge/train.pte"))
        val others = listOf(
            "edge/state.json" to String(names).replace("exit.bias", "exit.bios").toByteArray(),
            "edge/state.json" to String(names).replace("\"constants\"", "\"constant\" ").toByteArray(),
            "edge/state.json" to ByteArray(names.size),
            "edge/train.pte" to ByteArray(program.size),
            "edge/train.pte" to program.copyOf(program.size / 2).copyOf(program.size).reversedArray(),
            "edge/infer.pte" to ByteArray(Files.size(bundle.path("edge/infer.pte")).toInt()),
        )
        for ((name, bytes) in others) {
            val error = assertThrows<BundleException>(name) { open(copyOf(bundle, folder, mapOf(name to bytes))) }
            assertEquals(1, error.message.orEmpty().lines().size)
            assertTrue(name.substringAfter("/") in error.message.orEmpty(), error.message)
        }
    }

    @Test
    fun `a bundle with an optimizer that this learner has not is refused`() {
        val other = copyOf(bundle, folder) { it.replace("\"sgd\"", "\"adamw\"").replace(SGD_ALONE, "") }
        val error = assertThrows<BundleException> { open(other) }
        assertTrue("--optimizer sgd" in error.message.orEmpty(), error.message)
    }

    @Test
    fun `a program that is not a step's fails in the first step`() {
        val learner = ExecutorchLearner(bundle) { PipedProgram(bundle.path("edge/infer.pte")) }
        assertThrows<EngineException> { golden.train(learner) }
        assertEquals(0, learner.edgeStep)
    }

    private companion object {
        val SGD_ALONE = Regex(""",\s*"(momentum|nesterov)": [a-z0-9.]+""")
    }
}

/** A program whose results are changed on the way. */
private class Faulty(
    private val program: StepProgram, private val change: (List<FloatTensor>) -> List<FloatTensor>,
) : StepProgram by program {
    override fun run(inputs: List<FloatTensor>) = change(program.run(inputs))
}

/** Train on the first images of each golden batch. */
private fun trainOnFewer(bundle: Bundle, learner: EdgeLearner, count: Int): List<StepResult> {
    val golden = GoldenSteps(bundle)
    return List(golden.steps) { step ->
        learner.step(golden.images(step).copyOf(count * bundle.manifest.input.values), golden.labels(step).copyOf(count))
    }
}
