package org.hiertk.core.learning

import net.jqwik.api.Arbitraries
import net.jqwik.api.Arbitrary
import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.Provide
import org.hiertk.core.ConfigException
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import kotlin.math.ln
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertNull
import kotlin.test.assertSame

class ExitSlotsTest {
    @Test
    fun `closed slots have a bias that no softmax survives`() {
        val slots = ExitSlots(4, setOf(0, 2))
        assertContentEquals(floatArrayOf(0f, -1e9f, 0f, -1e9f), slots.evaluationBias)
        slots.add(3)
        slots.remove(0)
        assertContentEquals(floatArrayOf(-1e9f, -1e9f, 0f, 0f), slots.evaluationBias)
        assertEquals(setOf(2, 3), slots.open)
    }

    @Test
    fun `a prior is added in training only, and stays when slots change`() {
        val slots = ExitSlots(3, setOf(0))
        slots.adjust(floatArrayOf(1f, 2f, 3f))
        slots.add(1)
        assertContentEquals(floatArrayOf(1f, 2f, -1e9f + 3f), slots.trainingBias)
        assertContentEquals(floatArrayOf(0f, 0f, -1e9f), slots.evaluationBias)
        slots.adjust(FloatArray(3))
        assertSame(slots.evaluationBias, slots.trainingBias)
    }

    @Test
    fun `a result is given back as it is without the prior`() {
        val slots = ExitSlots(2, setOf(0, 1))
        val plain = StepResult(7f, FloatArray(0), floatArrayOf(1f, 1f))
        assertSame(plain, slots.unadjusted(plain, intArrayOf(0)))
        slots.adjust(floatArrayOf(5f, 0f))
        val result = slots.unadjusted(StepResult(7f, FloatArray(0), floatArrayOf(6f, 1f)), intArrayOf(0))
        assertContentEquals(floatArrayOf(1f, 1f), result.logits)
        assertEquals(ln(2.0).toFloat(), result.loss)
    }

    @Test
    fun `what is no slot, no open label or no prior is refused`() {
        val slots = ExitSlots(2, setOf(0))
        assertThrows<ConfigException> { slots.add(2) }
        assertThrows<ConfigException> { slots.remove(-1) }
        assertThrows<ConfigException> { slots.checkLabels(intArrayOf(0, 1), 2) }
        assertThrows<ConfigException> { slots.checkLabels(intArrayOf(0), 2) }
        assertThrows<ConfigException> { slots.adjust(FloatArray(3)) }
        assertThrows<ConfigException> { slots.adjust(floatArrayOf(0f, Float.NEGATIVE_INFINITY)) }
        slots.checkLabels(intArrayOf(0, 0), 2)
    }

    @Test
    fun `rates and rows that cannot be are refused`() {
        for (rate in listOf(0f, -1f, 11f, Float.NaN, Float.POSITIVE_INFINITY)) {
            assertThrows<ConfigException> { checkLearningRate(rate) }
        }
        checkLearningRate(10f)
        assertThrows<ConfigException> { checkRow(ExitRow(FloatArray(2), 0f), 3) }
        assertThrows<ConfigException> { checkRow(ExitRow(floatArrayOf(Float.NaN), 0f), 1) }
        checkRow(ExitRow(FloatArray(3), 1f), 3)
    }

    @Property(tries = 100)
    fun `open slots come back from their text`(@ForAll("slots") open: Set<Int>) {
        assertEquals(open, parseSlots(ExitSlots(100, open).text(), 100))
    }

    @Provide
    fun slots(): Arbitrary<out Set<Int>> = Arbitraries.integers().between(0, 99).set()

    @Test
    fun `any other text is none`() {
        for (text in listOf(" ", "1 0", "1 1", "4", "0,1", "-1", "0 ", "000001", "0 1 2 3 4", "٣")) {
            assertNull(parseSlots(text, 4), text)
        }
        assertEquals(emptySet(), parseSlots("", 4))
    }
}
