package org.hiertk.core.learning

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.double
import kotlinx.serialization.json.float
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.hiertk.core.deleteTree
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Path
import kotlin.math.abs
import kotlin.math.ln
import kotlin.test.assertEquals
import kotlin.test.assertNotNull
import kotlin.test.assertTrue

private const val TOO_SURE = 6f

class TemperatureTest {
    @TempDir
    lateinit var folder: Path

    private val cases = Json.parseToJsonElement(
        checkNotNull(javaClass.getResource("/learning/temperatures.json")).readText(),
    ).jsonArray.map { it.jsonObject }

    @Test
    fun `the temperature is the one of the Python device`() {
        val found = cases.map { case ->
            val labels = case.getValue("labels").jsonArray.map { it.jsonPrimitive.int }
            val rows = case.getValue("logits").jsonArray.map { row -> row.jsonArray.map { it.jsonPrimitive.float }.toFloatArray() }
            fitTemperature(rows.zip(labels) { logits, label -> Judged(logits, label, label) })
        }
        val wanted = cases.map { it.getValue("temperature").jsonPrimitive.double }
        for ((one, other) in wanted.zip(found)) assertEquals(one, other, 1e-6 * one)
        assertEquals(MAX_TEMPERATURE, wanted[3], 1e-6, "a case at a bound")
        assertEquals(NO_TEMPERATURE, wanted[4], "a case of too few samples")
    }

    @Test
    fun `images of one class, and logits that are not finite, say too little`() {
        val row = floatArrayOf(1f, 2f)
        assertEquals(1.0, fitTemperature(List(60) { Judged(row, 0, 4) }))
        assertTrue(fitTemperature(List(60) { Judged(row, it % 2, it % 2) }) > 1)
        val broken = Judged(floatArrayOf(Float.NaN, 1f), 0, 0)
        assertEquals(1.0, fitTemperature(List(60) { if (it == 7) broken else Judged(row, it % 2, it % 2) }))
    }

    @Test
    fun `a temperature changes the confidence and no answer`() {
        val known = listOf(KnownClass(0, "red", false), KnownClass(1, "green", false))
        val logits = floatArrayOf(1f, 3f, 0f)
        val (plain, cooled) = listOf(1.0, 2.0).map { checkNotNull(earlyScores(logits, known, setOf(0, 1), it)) }
        assertEquals(listOf("green", "green"), listOf(plain.best.name, cooled.best.name))
        assertTrue(abs(odds(plain) - 2 * odds(cooled)) < 1e-5)
    }

    @Timeout(60)
    @Test
    fun `an exit that is too sure of itself is calibrated on held-out images, and stays so after a restart`() {
        val shown = imagesOf(1, 1, seed = 5).single()
        val before = phone().use { phone ->
            phone.start()
            val sure = odds(phone.ask(shown).early)
            phone.loop.pause() // so that the steps, and with them the temperature, do not depend on the time
            // The labels of a third are wrong: no exit can be sure of these two.
            phone.loop.teach("red", imagesOf(1, 200) + imagesOf(2, 100, seed = 1))
            phone.loop.teach("green", imagesOf(2, 200) + imagesOf(1, 100, seed = 1))
            phone.loop.resume()
            await("it is taken") { (phone.loop.snapshot?.taught ?: 0) > 500 }
            phone.awaitRest()
            assertTrue(sure >= 0)
            phone.ask(shown).early
        }
        val notes = CheckpointNotes.parse(assertNotNull(Checkpoints(folder.resolve("checkpoints")).newest()).notes)
        assertTrue(notes.temperature > 2, "${notes.temperature}")
        assertTrue(before.confidence < 0.9, "${before.confidence}")
        deleteTree(folder.resolve("rehearsal")) // nothing to measure on
        val after = phone().use { it.start().ask(shown).early }
        assertEquals(before.confidence, after.confidence, 1e-4f)
    }

    private fun phone() = TestPhone(folder, checkpointSteps = 1, wrap = ::TooSure)

    private fun odds(scores: Scores) = ln(scores.all[0].probability / scores.all[1].probability)
}

/** Its predictions are as if the exit's rows were longer than training has made them. */
private class TooSure(private val learner: EdgeLearner) : EdgeLearner by learner {
    override fun predict(images: FloatArray): Answer {
        val answer = learner.predict(images)
        return Answer(answer.features, FloatArray(answer.logits.size) { TOO_SURE * answer.logits[it] })
    }
}
