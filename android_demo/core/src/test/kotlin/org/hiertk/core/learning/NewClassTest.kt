package org.hiertk.core.learning

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.double
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.constraints.IntRange
import org.junit.jupiter.api.Test
import kotlin.math.abs
import kotlin.math.exp
import kotlin.random.Random
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class NewClassTest {
    private val vectors = Json.parseToJsonElement(
        checkNotNull(javaClass.getResource("/learning/new_class.json")).readText(),
    ).jsonObject

    @Test
    fun `an imprinted row is the one of the Python device`() {
        for (case in vectors.getValue("rows").jsonArray.map { it.jsonObject }) {
            val row = imprintedRow(matrix(case.getValue("examples")), others(case), known(case))
            val expected = vector(case.getValue("row"))
            assertEquals(expected.size, row.weight.size)
            for (index in expected.indices) assertTrue(isClose(expected[index], row.weight[index]))
            assertTrue(isClose(case.getValue("row_bias").jsonPrimitive.double.toFloat(), row.bias))
        }
    }

    @Test
    fun `the log prior is the one of the Python device`() {
        for (case in vectors.getValue("priors").jsonArray.map { it.jsonObject }) {
            val counts = case.getValue("counts").jsonArray.map { it.jsonPrimitive.double }.toDoubleArray()
            val prior = logPrior(counts, case.getValue("strength").jsonPrimitive.double)
            val expected = vector(case.getValue("prior"))
            for (slot in expected.indices) assertTrue(isClose(expected[slot], prior[slot]))
        }
    }

    @Test
    fun `halfway between the others and the examples a new row is level with all known ones together`() {
        val known = listOf(ExitRow(floatArrayOf(1f, 0.5f), 0.2f), ExitRow(floatArrayOf(-1f, 2f), 0f))
        val row = imprintedRow(listOf(floatArrayOf(4f, 2f)), floatArrayOf(0f, 2f), known)
        val halfway = floatArrayOf(2f, 2f)
        val together = known.sumOf { exp(logit(it, halfway)) }
        assertTrue(abs(together - exp(logit(row, halfway))) < 1e-4 * together)
    }

    @Property(tries = 200)
    fun `a prior is 0 for the most frequent class and for those never seen, and below 0 for the others`(
        @ForAll seed: Long,
        @ForAll @IntRange(min = 1, max = 12) slots: Int,
    ) {
        val random = Random(seed)
        val counts = List(slots) { if (random.nextBoolean()) random.nextDouble(1e-9, 1e6) else 0.0 }
        val prior = logPrior(counts.toDoubleArray())
        for ((slot, count) in counts.withIndex()) {
            if (count == 0.0 || count == counts.max()) assertEquals(0f, prior[slot]) else assertTrue(prior[slot] <= 0f)
        }
    }

    private fun logit(row: ExitRow, at: FloatArray) =
        at.indices.sumOf { row.weight[it].toDouble() * at[it] } + row.bias

    /** Within what the order of a float64 sum may change of a float32. */
    private fun isClose(a: Float, b: Float) = abs(a - b) <= 2e-6f * maxOf(1f, abs(a))

    private fun vector(element: JsonElement) =
        element.jsonArray.map { it.jsonPrimitive.double.toFloat() }.toFloatArray()

    private fun matrix(element: JsonElement) = element.jsonArray.map(::vector)

    private fun others(case: JsonObject) = case.getValue("others").let { if (it is JsonNull) null else vector(it) }

    private fun known(case: JsonObject): List<ExitRow> =
        matrix(case.getValue("weight")).zip(vector(case.getValue("bias")).toList(), ::ExitRow)
}
