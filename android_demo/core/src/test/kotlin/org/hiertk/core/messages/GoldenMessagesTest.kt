package org.hiertk.core.messages

import com.google.protobuf.ByteString
import com.google.protobuf.MessageLite
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.Paths
import java.util.Base64
import java.util.stream.Stream
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.hiertk.core.codec.FeatureShape
import org.hiertk.core.codec.decode
import org.hiertk.protocol.Ack
import org.hiertk.protocol.ClassAlias
import org.hiertk.protocol.ClassMap
import org.hiertk.protocol.ClassReply
import org.hiertk.protocol.ClassRequest
import org.hiertk.protocol.ClassSlot
import org.hiertk.protocol.DeviceStatus
import org.hiertk.protocol.FeatureBatch
import org.hiertk.protocol.ModelStatus
import org.hiertk.protocol.QuantizedFeatures
import org.hiertk.protocol.Refusal
import org.junit.jupiter.api.Test
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.MethodSource

private val GOLDEN: Path = Paths.get("../../protocol/golden")

/** A message's fields in protobuf's JSON mapping; `end` sees that none was left out. */
private class Fields(private val content: JsonObject) {
    private val left = content.keys.toMutableSet()

    private fun take(key: String) = content.getValue(key).also { left.remove(key) }

    fun text(key: String) = take(key).jsonPrimitive.content

    fun long(key: String) = text(key).toULong().toLong()

    fun int(key: String) = text(key).toUInt().toInt()

    fun float(key: String) = text(key).toFloat()

    fun bytes(key: String): ByteString = ByteString.copyFrom(Base64.getDecoder().decode(text(key)))

    fun texts(key: String) = take(key).jsonArray.map { it.jsonPrimitive.content }

    fun ints(key: String) = texts(key).map { it.toUInt().toInt() }

    fun one(key: String) = Fields(take(key).jsonObject)

    fun several(key: String) = take(key).jsonArray.map { Fields(it.jsonObject) }

    fun <T> end(message: T): T = message.also { assertEquals(emptySet(), left) }
}

/** One of protocol/golden/messages.json. */
class GoldenMessage(private val content: JsonObject) {
    private val type = content.getValue("message").jsonPrimitive.content
    val bytes: ByteArray = Files.readAllBytes(GOLDEN.resolve(toString()))

    fun parsed(): MessageLite = when (type) {
        "Ack" -> parseAck(bytes)
        "ModelStatus" -> parseModelStatus(bytes)
        "FeatureBatch" -> FeatureBatch.parseFrom(bytes)
        "DeviceStatus" -> DeviceStatus.parseFrom(bytes)
        "ClassMap" -> ClassMap.parseFrom(bytes)
        "ClassRequest" -> ClassRequest.parseFrom(bytes)
        "ClassReply" -> ClassReply.parseFrom(bytes)
        else -> throw AssertionError("the test does not know $type")
    }

    fun built(): MessageLite {
        val fields = Fields(content.getValue("fields").jsonObject)
        return when (type) {
            "Ack" -> ack(fields)
            "ModelStatus" -> modelStatus(fields)
            "FeatureBatch" -> featureBatch(fields)
            "DeviceStatus" -> deviceStatus(fields)
            "ClassMap" -> fields.end(
                ClassMap.newBuilder().setVersion(fields.int("version")).addAllSlots(fields.several("slots").map(::classSlot)).build(),
            )
            "ClassRequest" -> fields.end(
                ClassRequest.newBuilder().setBundleId(fields.bytes("bundle_id")).setName(fields.text("name")).build(),
            )
            "ClassReply" -> fields.end(
                ClassReply.newBuilder().setSlot(fields.int("slot")).setVersion(fields.int("version"))
                    .setError(fields.text("error")).build(),
            )
            else -> throw AssertionError("the test does not know $type")
        }
    }

    override fun toString() = content.getValue("file").jsonPrimitive.content
}

private fun ack(fields: Fields) = fields.end(
    Ack.newBuilder().setEpoch(fields.long("epoch")).setThrough(fields.long("through"))
        .addAllBeyond(fields.texts("beyond").map { it.toULong().toLong() })
        .addAllRefused(
            fields.several("refused").map {
                it.end(Refusal.newBuilder().setSeq(it.long("seq")).setReason(it.text("reason")).build())
            },
        )
        .build(),
)

private fun classSlot(fields: Fields) = fields.end(
    ClassSlot.newBuilder().setSlot(fields.int("slot")).setName(fields.text("name")).setSince(fields.int("since"))
        .addAllAliases(
            fields.several("aliases").map {
                it.end(
                    ClassAlias.newBuilder().setName(it.text("name")).setSlot(it.int("slot")).setSince(it.int("since")).build(),
                )
            },
        )
        .build(),
)

private fun quantized(fields: Fields) = fields.end(
    QuantizedFeatures.newBuilder().setBits(fields.int("bits")).setScales(fields.bytes("scales"))
        .setZeroPoints(fields.bytes("zero_points"))
        .setCompression(QuantizedFeatures.Compression.valueOf(fields.text("compression")))
        .setPayload(fields.bytes("payload")).build(),
)

private fun featureBatch(fields: Fields) = fields.end(
    FeatureBatch.newBuilder().setBundleId(fields.bytes("bundle_id")).setDevice(fields.text("device"))
        .setEpoch(fields.long("epoch")).setSeq(fields.long("seq")).setFloor(fields.long("floor"))
        .setEdgeStep(fields.long("edge_step")).setClassMapVersion(fields.int("class_map_version"))
        .setPurpose(FeatureBatch.Purpose.valueOf(fields.text("purpose"))).addAllShape(fields.ints("shape"))
        .setFeatures(quantized(fields.one("features"))).addAllLabels(fields.ints("labels"))
        .addAllEarlyExit(fields.ints("early_exit")).setEarlyExitLoss(fields.float("early_exit_loss"))
        .addAllNewClasses(fields.texts("new_classes")).build(),
)

private fun modelStatus(fields: Fields) = fields.end(
    ModelStatus.newBuilder().setState(ModelStatus.State.valueOf(fields.text("state")))
        .setIncarnation(fields.long("incarnation")).setCloudStep(fields.long("cloud_step"))
        .setFinalExitLoss(fields.float("final_exit_loss")).setFinalExitAccuracy(fields.float("final_exit_accuracy"))
        .setFinalExitHeldOutAccuracy(fields.float("final_exit_held_out_accuracy"))
        .setStoredTotal(fields.long("stored_total")).setConsumedTotal(fields.long("consumed_total"))
        .setRefusedTotal(fields.long("refused_total")).setDuplicatesTotal(fields.long("duplicates_total"))
        .setMaxMessageBytes(fields.int("max_message_bytes")).setStepMs(fields.float("step_ms"))
        .setTrainedTotal(fields.long("trained_total")).build(),
)

private fun deviceStatus(fields: Fields) = fields.end(
    DeviceStatus.newBuilder().setState(DeviceStatus.State.valueOf(fields.text("state")))
        .setEdgeStep(fields.long("edge_step")).setEarlyExitLoss(fields.float("early_exit_loss"))
        .setEarlyExitAccuracy(fields.float("early_exit_accuracy"))
        .setEarlyExitHeldOutAccuracy(fields.float("early_exit_held_out_accuracy"))
        .setSpoolBatches(fields.long("spool_batches")).setSpoolBytes(fields.long("spool_bytes"))
        .setSpooledTotal(fields.long("spooled_total")).setDroppedTotal(fields.long("dropped_total"))
        .setRefusedTotal(fields.long("refused_total")).setSentTotal(fields.long("sent_total"))
        .setSentBytes(fields.long("sent_bytes")).setStepMs(fields.float("step_ms"))
        .setBadImages(fields.long("bad_images")).setSamplesTotal(fields.long("samples_total"))
        .setPayloadBytesTotal(fields.long("payload_bytes_total")).setBits(fields.int("bits"))
        .setAgedTotal(fields.long("aged_total")).setThinnedTotal(fields.long("thinned_total"))
        .setRequantizedTotal(fields.long("requantized_total")).setWireBytes(fields.long("wire_bytes"))
        .setBudgetLeftBytes(fields.long("budget_left_bytes")).addAllProblems(fields.texts("problems"))
        .setWaitingSamples(fields.long("waiting_samples")).setRehearsalSamples(fields.long("rehearsal_samples"))
        .setMislabelledImages(fields.long("mislabelled_images")).setPredictionsTotal(fields.long("predictions_total"))
        .setPredictionsByCloud(fields.long("predictions_by_cloud")).setTemperatureC(fields.float("temperature_c"))
        .setClassMapVersion(fields.int("class_map_version")).build(),
)

class GoldenMessagesTest {
    @ParameterizedTest
    @MethodSource("messages")
    fun `a message is parsed to Python's fields`(message: GoldenMessage) {
        assertEquals(message.built(), message.parsed())
    }

    @ParameterizedTest
    @MethodSource("messages")
    fun `a message is built to Python's bytes`(message: GoldenMessage) {
        assertContentEquals(message.bytes, message.built().toByteArray())
    }

    @Test
    fun `the compressed features are the 32 values that the golden README names`() {
        val batch = FeatureBatch.parseFrom(Files.readAllBytes(GOLDEN.resolve("messages/feature_batch_zstd.bin")))
        assertEquals(List(32) { it % 4 }, decode(batch.features, FeatureShape(2, 4, 2, 2)).values.map { it.toInt() })
    }

    companion object {
        @JvmStatic
        fun messages(): Stream<GoldenMessage> =
            Json.parseToJsonElement(Files.readAllBytes(GOLDEN.resolve("messages.json")).decodeToString())
                .jsonArray.map { GoldenMessage(it.jsonObject) }.stream()
    }
}
