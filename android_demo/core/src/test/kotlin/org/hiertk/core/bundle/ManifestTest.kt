package org.hiertk.core.bundle

import java.nio.file.Files
import java.nio.file.Paths
import java.util.stream.Stream
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import net.jqwik.api.ForAll
import net.jqwik.api.Property
import org.hiertk.core.BundleException
import org.junit.jupiter.api.Test
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.Arguments
import org.junit.jupiter.params.provider.MethodSource
import org.junit.jupiter.params.provider.ValueSource

class ManifestTest {
    @Test
    fun `manifests that Python wrote have Python's ids and deployments`() {
        for (one in Json.parseToJsonElement(text("names.json")).jsonArray) {
            val expected = one.jsonObject.mapValues { it.value.jsonPrimitive.content }
            val manifest = parseManifest(text(expected.getValue("file")).toByteArray(), "here")
            assertEquals(expected["bundle_id"], manifest.bundleIdHex)
            assertEquals(expected["deployment"], manifest.deployment)
        }
    }

    @Test
    fun `a grown bundle keeps the deployment of the first one`() {
        val first = parseManifest(text("first.json").toByteArray(), "here")
        val grown = parseManifest(text("grown.json").toByteArray(), "here")
        assertEquals(first.deployment, grown.deployment)
        assertTrue(first.bundleName != grown.bundleName)
        assertEquals(listOf(Ancestor(first.bundleIdHex, 10)), grown.grownFrom)
        assertEquals(Sgd(nesterov = true), grown.optimizer)
    }

    @Test
    fun `all that a manifest says is there`() {
        val manifest = parseManifest(text("first.json").toByteArray(), "here")
        assertEquals(Target.RPI, manifest.target)
        assertEquals(ModelInfo("resnet18", 3, 8, "layer2.0", Stem.THREE_BY_THREE, 1000, 10_000), manifest.model)
        assertEquals(InputInfo(32, List(3) { 0.5 }, List(3) { 0.25 }), manifest.input)
        assertEquals(3072, manifest.input.values)
        assertEquals(FeatureInfo(listOf(3, 2, 2), 4), manifest.features)
        assertEquals(12, manifest.features.values)
        assertEquals(ClassInfo(listOf("shirt", "trousers"), 10), manifest.classes)
        assertEquals(AdamW(), manifest.optimizer)
        assertEquals(EngineInfo(Backend.ONNXRUNTIME, "1.19.2", 32), manifest.engine)
        assertEquals(listOf(ParityCheck("loss", 1e-7, 1e-5)), manifest.parity)
        assertEquals(0, manifest.files.getValue("golden/steps.safetensors").size)
    }

    @ParameterizedTest
    @ValueSource(strings = ["0", "2", "-1", "99"])
    fun `another schema version is named`(version: String) {
        val error = refused(sampleContent().with("schema_version", Json.parseToJsonElement(version)))
        assertTrue(error.startsWith("here: schema version $version is not 1: export"), error)
    }

    @Test
    fun `a newer schema with things that are not known is named by its version`() {
        val newer = sampleContent().with("schema_version", JsonPrimitive(2)).with("news", JsonPrimitive(1))
        assertTrue(refused(newer).contains("schema version 2 is not 1"))
    }

    @ParameterizedTest
    @MethodSource("impossible")
    fun `an impossible content is refused in one line`(place: String, value: String?) {
        val error = refused(sampleContent().with(place, value?.let { Json.parseToJsonElement(it) }))
        assertTrue(error.startsWith("here: ") && error.endsWith(": export the bundle again"), error)
        assertTrue('\n' !in error, error)
    }

    @ParameterizedTest
    @ValueSource(
        strings = [
            "", ".", "..", "../x", "/etc/passwd", "edge/../../x", "edge//x", "edge/", ".hidden", "edge/.hidden",
            "a\\b", "C:x", "x\n", "a/b/c/d/e", "\u00e4", "edge/ x", "-x",
        ],
    )
    fun `a file name that could lead elsewhere is refused`(name: String) {
        val files = JsonObject(mapOf(name to fileInfo(byteArrayOf())))
        assertTrue(refused(sampleContent().with("files", files)).contains("is not allowed"))
    }

    @ParameterizedTest
    @ValueSource(strings = ["NaN", "Infinity", "-Infinity", "1e999"])
    fun `a number that is not finite is refused`(number: String) {
        val text = sampleContent().toString().replace("0.001", number)
        assertFailsWith<BundleException> { parseManifest(text.toByteArray(), "here") }
    }

    @Test
    fun `bytes that are no text, too many, too deep, or cut are refused`() {
        val whole = bytes(sampleContent())
        val deep = "[".repeat(200_000)
        val bad = listOf(
            byteArrayOf(-1, -2), whole.copyOf(whole.size - 1), whole + '}'.code.toByte(),
            byteArrayOf(0xef.toByte(), 0xbb.toByte(), 0xbf.toByte()) + whole,
            ByteArray(MAX_MANIFEST_BYTES + 1) { ' '.code.toByte() }, deep.toByteArray(), "{\"a\":$deep".toByteArray(),
            sampleContent().toString().replace("\"adamw\"", deep).toByteArray(),
        )
        for (data in bad) assertFailsWith<BundleException> { parseManifest(data, "here") }
    }

    @Property
    fun `arbitrary bytes raise only bundle errors`(@ForAll data: ByteArray) {
        assertFailsWith<BundleException> { parseManifest(data, "here") }
    }

    @Property
    fun `a damaged byte is refused, or is another bundle`(@ForAll place: Int, @ForAll value: Byte) {
        val whole = bytes(sampleContent())
        val damaged = whole.copyOf().also { it[Math.floorMod(place, whole.size)] = value }
        try {
            val same = parseManifest(damaged, "here").bundleId == sampleManifest().bundleId
            assertEquals(whole.contentEquals(damaged), same)
        } catch (error: BundleException) {
            assertTrue(error.message.orEmpty().startsWith("here: "))
        }
    }

    private fun refused(content: JsonElement): String =
        assertFailsWith<BundleException> { parseManifest(bytes(content), "here") }.message.orEmpty()

    private fun text(name: String) = Files.readAllBytes(Paths.get("src/test/resources/bundles", name)).decodeToString()

    companion object {
        @JvmStatic
        fun impossible(): Stream<Arguments> = listOf(
            "target" to "\"windows\"", "extra" to "1", "engine" to null, "model.name" to "\"a b\"", "model.split" to "0",
            "model.split" to "1.5", "model.split" to JsonNull.toString(), "model.split" to "99999999999",
            "model.edge_parameters" to "-1", "model.bottleneck" to "0", "model.extra" to "1",
            "input.size" to "7", "input.size" to "1025", "input.std" to "[0.25, 0, 0.25]", "input.mean" to "[0.5, 0.5]",
            "features.bits" to "5", "features.shape" to "[3, 2, 0]", "features.shape" to "[3, 2]",
            "features.shape" to "[3, 2, ${1 shl 21}]", "features.shape" to "[1048576, 1048576, 1048576]",
            "classes.names" to "[\"same\", \"same\"]", "classes.names" to "[\"\"]", "classes.names" to "[\"a\\tb\"]",
            "classes.names" to "[\"a  b\"]", "classes.capacity" to "1", "classes.capacity" to "${1 shl 20}",
            "grown_from" to "[{\"bundle_id\": \"${"0".repeat(64)}\", \"class_capacity\": 10}]",
            "grown_from" to "[{\"bundle_id\": \"0\", \"class_capacity\": 5}]",
            "optimizer.learning_rate" to "0", "optimizer.beta1" to "1", "optimizer.name" to "\"adam\"",
            "optimizer.momentum" to "0.9", "optimizer" to "{\"name\": \"sgd\", \"nesterov\": true, \"momentum\": 0}",
            "engine.backend" to "\"tensorflow\"", "engine.batch_size" to "0", "engine.version" to "\"${"1".repeat(41)}\"",
            "parity" to "[{\"what\": \"loss\", \"worst\": -1, \"tolerance\": 1}]", "parity" to "[1]",
            "files" to "{\"edge/a\": {\"sha256\": \"${"0".repeat(63)}\", \"size\": 1}}",
            "files" to "{\"edge/a\": {\"sha256\": \"${"0".repeat(64)}\\n\", \"size\": 1}}",
            "files" to "{\"edge/a\": {\"sha256\": \"${"0".repeat(64)}\", \"size\": -1}}",
            "files" to "{\"edge/a\": {\"sha256\": \"${"0".repeat(64)}\", \"size\": 1099511627776}}",
        ).map { (place, value) -> Arguments.of(place, value) }.stream()
    }
}
