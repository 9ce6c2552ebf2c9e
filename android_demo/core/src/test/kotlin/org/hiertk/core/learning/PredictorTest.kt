package org.hiertk.core.learning

import org.hiertk.core.EngineException
import org.junit.jupiter.api.Test
import kotlin.math.abs
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import kotlin.test.assertTrue

class PredictorTest {
    private val known = listOf(KnownClass(0, "red", false), KnownClass(1, "green", false), KnownClass(7, "mug", true))
    private val told = ArrayList<Prediction>()
    private var millis = 0L
    private val predictor = Predictor(told::add, nanoTime = { millis * 1_000_000 })
    private val asked = ArrayList<(CloudReply) -> Unit>()
    private val help = CloudHelp({ _, _, answer -> asked.add(answer) }, below = 0.6f, deadlineMillis = 2_000, everyMillis = 1_000)

    @Test
    fun `a closed slot has no probability, however high its logit`() {
        val scores = checkNotNull(earlyScores(floatArrayOf(1f, 2f, 0f, 0f, 0f, 0f, 0f, 99f), known, setOf(0, 1)))
        assertEquals(listOf("green", "red"), scores.all.map { it.of.name })
        assertTrue(abs(scores.all.sumOf { it.probability.toDouble() } - 1) < 1e-6)
        assertNull(earlyScores(floatArrayOf(1f, 2f), known, emptySet()))
    }

    @Test
    fun `logits that are not finite are an error and no answer`() {
        assertFailsWith<EngineException> { earlyScores(floatArrayOf(Float.NaN, 0f), known, setOf(0, 1)) }
    }

    @Test
    fun `a sure early exit is not doubted`() {
        predictor.help = help
        predictor.take(early(1, 5f, 0f))
        assertEquals(Why.SURE, told.single().why)
        assertEquals(0, asked.size)
    }

    @Test
    fun `without a cloud the early exit stands`() {
        predictor.take(early(1, 0.1f, 0f))
        assertEquals(Exit.EARLY to Why.CLOUD_IS_OFF, told.single().by to told.single().why)
    }

    @Test
    fun `a class that the cloud does not know yet is not asked about`() {
        predictor.help = help
        predictor.take(early(1, 0f, 0f, 0.2f))
        assertEquals(Why.CLASS_IS_NEW, told.single().why)
        assertEquals(0, asked.size)
    }

    @Test
    fun `the early exit answers at once, and the cloud's answer takes its place when it comes`() {
        predictor.help = help
        predictor.take(early(1, 0.1f, 0f))
        assertEquals(Exit.EARLY to Why.ASKING, told.last().by to told.last().why)
        asked.single()(CloudReply.Known(40, floatArrayOf(0.2f, 0.6f, 0f, 0f, 0f, 0f, 0f, 0.2f)))
        val answer = told.last()
        assertEquals(Exit.FINAL to Why.CLOUD_ANSWERED, answer.by to answer.why)
        assertEquals("green", answer.shown.best.name)
        // Slot 7 is another class in the cloud: what is left of its share goes to the others.
        assertEquals(0.75f, answer.shown.confidence, 1e-6f)
        assertEquals(40L, answer.cloudStep)
        assertEquals(listOf(1L, 1L), listOf(predictor.counts.total, predictor.counts.byCloud))
    }

    @Test
    fun `one question a second, and its answer stands for frames that look the same`() {
        predictor.help = help
        for (frame in 0L until 10) {
            millis += 50
            predictor.take(early(frame, 0.1f, 0f))
            if (frame == 2L) asked.single()(CloudReply.Known(1, floatArrayOf(0.1f, 0.9f)))
        }
        assertEquals(1, asked.size)
        assertEquals(Exit.FINAL, told.last().by)
        predictor.take(early(11, 0f, 0.1f)) // another class: another question
        assertEquals(Why.ASKING, told.last().why)
        assertEquals(2, asked.size)
        asked.first()(CloudReply.Known(2, floatArrayOf(1f, 0f))) // again, and too late
        assertEquals(Why.ASKING, told.last().why)
    }

    @Test
    fun `no answer within the deadline is told, and it is asked again`() {
        predictor.help = help
        predictor.take(early(1, 0.1f, 0f))
        millis = 2_100
        predictor.take(early(2, 0.1f, 0f))
        assertEquals(2, asked.size)
        asked.last()(CloudReply.None(Why.NO_LINK))
        assertEquals(Why.NO_LINK, told.last().why)
        asked.first()(CloudReply.Known(1, floatArrayOf(0f, 1f)))
        assertEquals(Exit.EARLY, told.last().by)
    }

    @Test
    fun `a refusal is told in the cloud's words`() {
        predictor.help = help
        predictor.take(early(1, 0.1f, 0f))
        asked.single()(CloudReply.None(Why.REFUSED, "too many requests"))
        assertEquals(Why.REFUSED to "too many requests", told.last().why to told.last().detail)
    }

    @Test
    fun `a cloud that thinks of classes unknown here only is no answer`() {
        predictor.help = help
        predictor.take(early(1, 0.1f, 0f))
        asked.single()(CloudReply.Known(1, floatArrayOf(0f, 0f, 0f, 1f)))
        assertEquals(Exit.EARLY to Why.REFUSED, told.last().by to told.last().why)
    }

    private fun early(frame: Long, red: Float, green: Float, mug: Float = -1e9f): EarlyAnswer {
        val logits = FloatArray(8) { -1e9f }
        logits[0] = red
        logits[1] = green
        logits[7] = mug
        val open = if (mug > -1e8f) setOf(0, 1, 7) else setOf(0, 1)
        return EarlyAnswer(frame, checkNotNull(earlyScores(logits, known, open)), FloatArray(4), known, edgeStep = 3)
    }
}
