package org.hiertk.core.classes

import org.hiertk.core.learning.Answer
import org.hiertk.core.learning.EdgeLearner
import org.hiertk.core.learning.ExitRow
import org.hiertk.core.learning.StepResult
import org.junit.jupiter.api.Test
import java.nio.file.Path
import kotlin.test.assertEquals

class FollowingTest {
    private val first = exportedMap(listOf("cat", "dog", "hen"))
    private val known = ClassTable(first, mapOf("emu" to 7), capacity = 8).bySlot

    @Test
    fun `rows may swap their slots`() {
        val learner = RowsLearner(known.keys)
        val swapped = ClassMap(
            2,
            listOf(
                ClassSlot(0, "dog", 2, listOf(ClassAlias("old dog", 1, 1))),
                ClassSlot(1, "cat", 2, listOf(ClassAlias("old cat", 0, 1))),
                ClassSlot(2, "hen", 1),
                ClassSlot(3, "emu", 2),
            ),
        )
        moveRows(learner, known, ClassTable(swapped, emptyMap(), capacity = 8))
        assertEquals(mapOf(0 to 1, 1 to 0, 2 to 2, 3 to 7), learner.rowsOfOpenSlots())
    }

    @Test
    fun `of two merged classes the row stays whose slot stays`() {
        val learner = RowsLearner(known.keys)
        val merged = Registry(listOf("cat", "dog", "hen"), capacity = 8).apply { merge("cat", into = "hen") }.map
        moveRows(learner, known, ClassTable(merged, mapOf("emu" to 7), capacity = 8))
        assertEquals(mapOf(1 to 1, 2 to 2, 7 to 7), learner.rowsOfOpenSlots())
    }

    @Test
    fun `a retired class's slot is closed, and so is one that stands for nothing`() {
        val learner = RowsLearner(known.keys + 5)
        val map = Registry(listOf("cat", "dog", "hen"), capacity = 8).apply { retire("dog") }.map
        moveRows(learner, known, ClassTable(map, mapOf("emu" to 7), capacity = 8))
        assertEquals(mapOf(0 to 0, 2 to 2, 7 to 7), learner.rowsOfOpenSlots())
    }

    /** A learner that is nothing but its exit's rows; each row's bias says in which slot it began. */
    private class RowsLearner(slots: Set<Int>) : EdgeLearner {
        private val rows = (0 until 8).associateWithTo(HashMap()) { ExitRow(floatArrayOf(), it.toFloat()) }
        private val open = HashSet(slots)

        override val edgeStep = 0L
        override val openSlots: Set<Int> get() = open
        override var learningRate = 0f

        fun rowsOfOpenSlots() = open.sorted().associateWith { rows.getValue(it).bias.toInt() }

        override fun exitRows(slots: List<Int>) = slots.map(rows::getValue)

        override fun openSlot(slot: Int, row: ExitRow?) {
            if (row != null) rows[slot] = row
            open.add(slot)
        }

        override fun closeSlot(slot: Int) {
            open.remove(slot)
        }

        override fun step(images: FloatArray, labels: IntArray): StepResult = throw UnsupportedOperationException()

        override fun predict(images: FloatArray): Answer = throw UnsupportedOperationException()

        override fun adjust(prior: FloatArray) = throw UnsupportedOperationException()

        override fun save(file: Path) = throw UnsupportedOperationException()

        override fun close() = Unit
    }
}
