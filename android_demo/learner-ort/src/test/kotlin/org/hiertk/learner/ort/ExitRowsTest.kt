/** Rows of several classes are given to the engine together, and nobody can tell. */
package org.hiertk.learner.ort

import org.hiertk.core.golden.GoldenSteps
import org.hiertk.core.learning.ExitRow
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Path
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFalse

class ExitRowsTest {
    @TempDir
    lateinit var folder: Path

    private val bundle = RealEngine.bundle
    private val golden = GoldenSteps(bundle)
    private val channels = bundle.manifest.features.shape[0]
    private val rows = (10..12).associateWith { slot -> ExitRow(FloatArray(channels) { (it - slot) / 50f }, slot / 7f) }

    @Test
    fun `rows that wait together train as rows that the engine got one by one`() {
        val together = trained { learner -> rows.forEach { (slot, row) -> learner.openSlot(slot, row) } }
        val oneByOne = trained { learner ->
            for ((slot, row) in rows) {
                learner.openSlot(slot, row)
                learner.predict(golden.images(0))
            }
        }
        assertContentEquals(oneByOne, together)
        assertFalse(trained { }.contentEquals(together), "the rows changed nothing")
    }

    @Test
    fun `rows are read before the engine has them, and are the reader's own`() {
        OrtLearner(bundle).use { learner ->
            val before = learner.exitRows(listOf(0, 10))
            for ((slot, row) in rows) {
                learner.openSlot(slot, row)
                row.weight.fill(0f)
            }
            for (read in learner.exitRows(rows.keys.toList())) read.weight.fill(9f)
            val after = learner.exitRows(listOf(0, 10, 12))
            assertContentEquals(before[0].weight, after[0].weight)
            assertEquals(listOf(-10 / 50f, -12 / 50f), after.drop(1).map { it.weight[0] })
            assertEquals(12 / 7f, after[2].bias)
        }
    }

    @Test
    fun `a row is read as the newest step has left it`() {
        OrtLearner(bundle).use { learner ->
            val before = learner.exitRows(listOf(1)).single()
            learner.step(golden.images(0), golden.labels(0))
            assertFalse(before.weight.contentEquals(learner.exitRows(listOf(1)).single().weight))
        }
    }

    @Test
    fun `a checkpoint has the rows that wait`() {
        val file = folder.resolve("checkpoint")
        val through = OrtLearner(bundle).use { learner ->
            rows.forEach { (slot, row) -> learner.openSlot(slot, row) }
            learner.save(file)
            learner.predict(golden.images(0)).logits
        }
        val resumed = OrtLearner(bundle, file).use { it.predict(golden.images(0)).logits }
        assertContentEquals(through, resumed)
    }

    /** Return the logits of a step with new labels, after one without, at a rate of its own. */
    private fun trained(open: (OrtLearner) -> Unit): FloatArray = OrtLearner(bundle).use { learner ->
        learner.learningRate = 3e-3f
        learner.step(golden.images(0), golden.labels(0))
        open(learner)
        learner.step(golden.images(1), golden.labels(1))
        learner.predict(golden.images(0)).logits
    }
}
