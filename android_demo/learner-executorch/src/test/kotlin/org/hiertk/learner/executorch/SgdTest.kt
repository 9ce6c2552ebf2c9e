package org.hiertk.learner.executorch

import org.hiertk.core.bundle.Sgd
import org.hiertk.core.tensors.FloatTensor
import org.junit.jupiter.api.Test
import kotlin.test.assertEquals

/** Two steps on a parameter of 2 with gradients of 1; torch.optim.SGD gives the same numbers, all exact in float32. */
class SgdTest {
    @Test
    fun `plain`() = assertSteps(Sgd(0.5, momentum = 0.0), 1.5f, 1f)

    @Test
    fun `with momentum`() = assertSteps(Sgd(0.5, momentum = 0.5), 1.5f, 0.75f)

    @Test
    fun `with weight decay`() = assertSteps(Sgd(0.5, momentum = 0.0, weightDecay = 0.25), 1.25f, 0.59375f)

    @Test
    fun `with nesterov`() = assertSteps(Sgd(0.5, momentum = 0.5, nesterov = true), 1.25f, 0.375f)

    @Test
    fun `with all of them`() = assertSteps(Sgd(0.5, momentum = 0.5, weightDecay = 0.25, nesterov = true), 0.875f, -0.2265625f)

    @Test
    fun `a step leaves what it began with`() {
        val before = untrained(Sgd(0.5), state)
        stepped(Sgd(0.5), 0.5f, before, tensors(1f), emptyMap())
        assertEquals(2f, before.parameters.getValue("p").values[0])
        assertEquals(0f, before.moments.getValue("momentum_buffer").getValue("p").values[0])
    }

    private fun assertSteps(optimizer: Sgd, first: Float, second: Float) {
        val one = stepped(optimizer, 0.5f, untrained(optimizer, state), tensors(1f), emptyMap())
        val two = stepped(optimizer, 0.5f, one, tensors(1f), emptyMap())
        assertEquals(listOf(first, second), listOf(one, two).map { it.parameters.getValue("p").values[0] })
        assertEquals(2, two.steps)
    }

    private companion object {
        val state = ProgramState(tensors(2f), emptyMap(), emptyMap())

        fun tensors(value: Float): Tensors = mapOf("p" to FloatTensor(listOf(1), floatArrayOf(value)))
    }
}
