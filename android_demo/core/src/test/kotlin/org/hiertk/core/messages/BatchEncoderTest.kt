package org.hiertk.core.messages

import kotlin.random.Random
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.constraints.IntRange
import org.hiertk.core.ConfigException
import org.hiertk.core.ProtocolException
import org.hiertk.core.bundle.sampleManifest
import org.hiertk.core.codec.FeatureShape
import org.hiertk.core.codec.decode
import org.hiertk.core.codec.quantize
import org.hiertk.core.learning.StepResult
import org.hiertk.protocol.FeatureBatch
import org.junit.jupiter.api.Test

private const val ROWS = 40
private const val CAPACITY = 10

class BatchEncoderTest {
    private val manifest = sampleManifest() // features (3, 2, 2) of 4 bits
    private val encoder = BatchEncoder(manifest, "phone-1")
    private val known = WireClasses(mapVersion = 3, provisional = emptyMap())
    private val labels = IntArray(ROWS) { it % 7 }

    private fun step(loss: Float = 0.5f) = Random(5).let { random ->
        StepResult(loss, FloatArray(ROWS * 12) { random.nextFloat() - 0.3f }, logits { it % 4 })
    }

    private fun logits(likeliest: (Int) -> Int) = FloatArray(ROWS * CAPACITY) {
        if (it % CAPACITY == likeliest(it / CAPACITY)) 2f else if (it % CAPACITY > 7) -1e9f else 1f
    }

    private fun values(message: FeatureBatch) = message.shapeList
        .let { (n, c, h, w) -> decode(message.features, FeatureShape(n, c, h, w)).values }

    @Test
    fun `a batch that fits is one message`() {
        val message = encoder.encode(step(), labels, known, edgeStep = 12).single()
        assertEquals(manifest.bundleId, message.bundleId)
        assertEquals("phone-1", message.device)
        assertEquals(12, message.edgeStep)
        assertEquals(3, message.classMapVersion)
        assertEquals(FeatureBatch.Purpose.TRAIN, message.purpose)
        assertEquals(0.5f, message.earlyExitLoss)
        assertEquals(listOf(ROWS, 3, 2, 2), message.shapeList)
        assertEquals(labels.asList(), message.labelsList)
        assertEquals(List(ROWS) { it % 4 }, message.earlyExitList)
        assertEquals(emptyList(), message.newClassesList)
        assertContentEquals(quantize(step().features, manifest.features.of(ROWS), 4).values, values(message))
    }

    @Test
    fun `the first rows alone are quantized and sent`() {
        val message = encoder.encode(step(), labels.copyOf(16), known, edgeStep = 1).single()
        assertEquals(listOf(16, 3, 2, 2), message.shapeList)
        assertContentEquals(quantize(step().features, manifest.features.of(16), 4).values, values(message))
    }

    @Test
    fun `classes without a slot go by their names`() {
        val classes = WireClasses(3, mapOf(9 to "cup", 8 to "pen"))
        val result = StepResult(0.5f, step().features, logits { if (it == 1) 8 else 0 })
        val message = encoder.encode(result, intArrayOf(1, 9, 9), classes, edgeStep = 1).single()
        assertEquals(listOf(1, NEW_CLASS, NEW_CLASS), message.labelsList)
        assertEquals(listOf(0, NEW_CLASS + 1, 0), message.earlyExitList)
        assertEquals(listOf("cup", "pen"), message.newClassesList)
    }

    @Property(tries = 200)
    fun `parts fit, are as few as can be, and together are the batch`(@ForAll @IntRange(min = 250, max = 700) most: Int) {
        val parts = encoder.encode(step(), labels, known, edgeStep = 1, maxBytes = most)
        assertTrue(parts.all { it.serializedSize + 40 <= most })
        assertContentEquals(quantize(step().features, manifest.features.of(ROWS), 4).values, parts.map(::values).reduce { all, one -> all + one })
        assertEquals(labels.asList(), parts.flatMap { it.labelsList })
        assertTrue(parts.maxOf { it.getShape(0) } - parts.minOf { it.getShape(0) } <= 1)
        if (parts.size > 1) assertFewest(parts.size - 1, most)
    }

    /** See that so few even parts would not fit, the fullest of them encoded as it would be. */
    private fun assertFewest(fewer: Int, most: Int) {
        val largest = (0 until fewer).maxOf { part ->
            val rows = quantize(step().features, manifest.features.of(ROWS), 4).rows(ROWS * part / fewer, ROWS * (part + 1) / fewer)
            val one = encoder.encode(step(), labels, known, edgeStep = 1).single().toBuilder()
                .clearShape().addAllShape(rows.shape.toList())
                .setFeatures(org.hiertk.core.codec.encode(rows)).clearLabels().clearEarlyExit()
                .addAllLabels(labels.toList().take(rows.shape.count)).addAllEarlyExit(List(rows.shape.count) { 0 })
            one.build().serializedSize + 40
        }
        assertTrue(largest > most, "$fewer parts of at most $largest bytes would fit $most")
    }

    @Test
    fun `a stored message is split in the same way`() {
        val stored = encoder.encode(step(), labels, known, edgeStep = 1).single().toBuilder().setEpoch(7).setSeq(9).build()
        val parts = split(stored.toByteArray(), 300)
        assertTrue(parts.size > 1 && parts.all { it.serializedSize + 40 <= 300 && it.seq == 9L })
        assertContentEquals(values(stored), parts.map(::values).reduce { all, one -> all + one })
        assertEquals(stored.labelsList, parts.flatMap { it.labelsList })
        assertEquals(emptyList(), split(stored.toByteArray(), 100))
        assertEquals(listOf(stored), split(stored.toByteArray(), MAX_MESSAGE_BYTES))
    }

    @Test
    fun `a damaged stored message is refused`() {
        val stored = encoder.encode(step(), labels, known, edgeStep = 1).single()
        val bad = listOf(
            stored.toByteArray().copyOf(50),
            stored.toBuilder().clearLabels().build().toByteArray(),
            stored.toBuilder().clearShape().build().toByteArray(),
            stored.toBuilder().setShape(1, 4).build().toByteArray(),
            byteArrayOf(),
        )
        for (data in bad) assertFailsWith<ProtocolException> { split(data, 300) }
    }

    @Test
    fun `a step that diverged is never sent`() {
        for (loss in listOf(Float.NaN, Float.POSITIVE_INFINITY)) {
            assertFailsWith<ProtocolException> { encoder.encode(step(loss), labels, known, edgeStep = 1) }
        }
    }

    @Test
    fun `features of one image that are too large say what to do`() {
        val error = assertFailsWith<ConfigException> { encoder.encode(step(), labels, known, edgeStep = 1, maxBytes = 100) }
        assertTrue("deeper separation point" in error.message.orEmpty())
    }

    @Test
    fun `more labels than rows, or none, are refused`() {
        assertFailsWith<ConfigException> { encoder.encode(step(), IntArray(ROWS + 1), known, edgeStep = 1) }
        assertFailsWith<ConfigException> { encoder.encode(step(), IntArray(0), known, edgeStep = 1) }
    }
}
