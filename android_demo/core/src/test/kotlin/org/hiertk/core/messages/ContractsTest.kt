package org.hiertk.core.messages

import java.nio.file.Files
import java.nio.file.Paths
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.constraints.IntRange
import org.hiertk.core.ProtocolException
import org.hiertk.core.bundle.sampleManifest
import org.hiertk.core.codec.FeatureShape
import org.hiertk.core.codec.decode
import org.hiertk.core.codec.quantize
import org.hiertk.protocol.Ack
import org.hiertk.protocol.ClassReply
import org.hiertk.protocol.ClassRequest
import org.hiertk.protocol.ModelStatus
import org.hiertk.protocol.PredictReply
import org.hiertk.protocol.PredictRequest
import org.junit.jupiter.api.Test

class ContractsTest {
    private val manifest = sampleManifest() // features (3, 2, 2), 10 class slots
    private val classes = ClassContract(manifest)
    private val predictions = PredictionContract(manifest)

    private fun golden(name: String) = Files.readAllBytes(Paths.get("../../protocol/golden/messages", name))

    private fun reply(slot: Int = 0, version: Int = 1, error: String = "") =
        ClassReply.newBuilder().setSlot(slot).setVersion(version).setError(error).build().toByteArray()

    private fun reply(probabilities: List<Float>, step: Long = 7) =
        PredictReply.newBuilder().setCloudStep(step).addAllProbabilities(probabilities).build().toByteArray()

    @Test
    fun `a class is asked for by its clean name`() {
        val request = ClassRequest.parseFrom(classes.request("  red   cup "))
        assertEquals(manifest.bundleId, request.bundleId)
        assertEquals("red cup", request.name)
        assertFailsWith<ProtocolException> { classes.request("a\nb") }
    }

    @Test
    fun `a slot that the cloud gives is read`() {
        assertEquals(ClassAnswer.Given(2, 3), classes.readReply(golden("class_reply.bin")))
        assertEquals(ClassAnswer.Given(9, 0xffff_ffffL), classes.readReply(reply(slot = 9, version = -1)))
    }

    @Test
    fun `a refusal is one short line`() {
        assertEquals(ClassAnswer.Refused("all 16 slots are taken"), classes.readReply(golden("class_reply_refused.bin")))
        val long = classes.readReply(reply(error = "a\u001b[2J\n\n" + "b".repeat(1000)))
        assertEquals(ClassAnswer.Refused("a [2J " + "b".repeat(193)), long)
        assertEquals(ClassAnswer.Refused("without a reason"), classes.readReply(reply(error = "\n\u202e")))
    }

    @Test
    fun `a slot beyond the bundle is a refusal, an impossible one an error`() {
        assertTrue(classes.readReply(reply(slot = 10)) is ClassAnswer.Refused)
        for (bad in listOf(reply(slot = 4096), reply(slot = -1), reply(version = 0), ByteArray(5000))) {
            assertFailsWith<ProtocolException> { classes.readReply(bad) }
        }
    }

    @Test
    fun `a prediction request carries features and their shape`() {
        val shape = FeatureShape(2, 3, 2, 2)
        val quantized = quantize(FloatArray(24) { it.toFloat() }, shape, 4)
        val request = PredictRequest.parseFrom(predictions.request(quantized))
        assertEquals(manifest.bundleId, request.bundleId)
        assertEquals(shape.toList(), request.shapeList)
        assertContentEquals(quantized.values, decode(request.features, shape).values)
    }

    @Test
    fun `a request of other features, or too many, is refused`() {
        for (shape in listOf(FeatureShape(1, 3, 2, 1), FeatureShape(17, 3, 2, 2))) {
            assertFailsWith<ProtocolException> { predictions.request(quantize(FloatArray(shape.values), shape, 4)) }
        }
    }

    @Test
    fun `probabilities are read`() {
        val row = List(10) { if (it == 3) 0.75f else if (it == 4) 0.25f else 0f }
        val answer = predictions.readReply(reply(row + row), 2) as PredictAnswer.FinalExit
        assertEquals(7, answer.cloudStep)
        assertEquals(row + row, answer.probabilities.asList())
        val error = PredictReply.newBuilder().setError("slow down").build().toByteArray()
        assertEquals(PredictAnswer.Refused("slow down"), predictions.readReply(error, 2))
    }

    @Test
    fun `probabilities that are none are refused`() {
        val even = List(10) { 0.1f }
        val bad = listOf(
            reply(even.drop(1)), reply(even + even), reply(even, step = -1), reply(List(10) { 0.2f }),
            reply(even.drop(1) + Float.NaN), reply(listOf(-0.1f, 0.3f) + even.drop(2)), ByteArray(3000),
        )
        for (data in bad) assertFailsWith<ProtocolException> { predictions.readReply(data, 1) }
    }

    @Test
    fun `a state or a size that nobody sends is refused`() {
        assertFailsWith<ProtocolException> { parseModelStatus(ModelStatus.newBuilder().setStateValue(9).build().toByteArray()) }
        assertFailsWith<ProtocolException> { parseModelStatus(golden("model_status.bin") + ByteArray(5000)) }
        assertFailsWith<ProtocolException> { parseAck(ByteArray((1 shl 20) + 1)) }
        assertEquals(41, parseAck(golden("ack.bin")).through)
        assertEquals(Ack.getDefaultInstance(), parseAck(byteArrayOf()))
    }

    @Property
    fun `arbitrary bytes raise only protocol errors`(@ForAll data: ByteArray) = readAll(data)

    @Property
    fun `damaged messages raise only protocol errors`(
        @ForAll @IntRange(max = 3) which: Int, @ForAll place: Int, @ForAll value: Byte, @ForAll isCut: Boolean,
    ) {
        val whole = listOf(golden("ack.bin"), golden("model_status.bin"), golden("class_reply.bin"), reply(List(10) { 0.1f }))[which]
        val at = Math.floorMod(place, whole.size)
        readAll(if (isCut) whole.copyOf(at) else whole.copyOf().also { it[at] = value })
    }

    private fun readAll(data: ByteArray) {
        for (read in listOf<(ByteArray) -> Any>(::parseAck, ::parseModelStatus, classes::readReply, { predictions.readReply(it, 1) })) {
            try {
                read(data)
            } catch (error: ProtocolException) {
                assertTrue('\n' !in error.message.orEmpty())
            }
        }
    }
}
