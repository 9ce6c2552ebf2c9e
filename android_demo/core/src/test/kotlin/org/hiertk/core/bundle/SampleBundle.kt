/** Valid bundles that tests then use or damage. */
package org.hiertk.core.bundle

import java.nio.file.Files
import java.nio.file.Path
import java.security.MessageDigest
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.put
import kotlinx.serialization.json.putJsonArray
import kotlinx.serialization.json.putJsonObject
import kotlinx.serialization.json.add

val SAMPLE_FILES: Map<String, ByteArray> = mapOf(
    "edge/checkpoint" to ByteArray(1300) { it.toByte() },
    "cloud/cloud.safetensors" to ByteArray(1400) { (it * 7).toByte() },
    "golden/steps.safetensors" to byteArrayOf(),
)

/** A manifest's content; features: (C, H, W). */
fun sampleContent(
    files: Map<String, ByteArray> = SAMPLE_FILES,
    features: List<Int> = listOf(3, 2, 2),
    bits: Int = 4,
    inputSize: Int = 32,
    names: List<String> = listOf("shirt", "trousers"),
    capacity: Int = 10,
    batchSize: Int = 8,
): JsonObject = buildJsonObject {
    put("schema_version", 1)
    put("target", "android")
    putJsonObject("model") {
        put("name", "resnet18")
        put("split", 3)
        put("split_count", 8)
        put("split_module", "layer2.0")
        put("stem", "3x3")
        put("edge_parameters", 1000)
        put("cloud_parameters", 10_000)
        put("normalization", "batch")
    }
    putJsonObject("input") {
        put("size", inputSize)
        putJsonArray("mean") { repeat(3) { add(0.5) } }
        putJsonArray("std") { repeat(3) { add(0.25) } }
    }
    putJsonObject("features") {
        put("shape", JsonArray(features.map { JsonPrimitive(it) }))
        put("bits", bits)
    }
    putJsonObject("classes") {
        put("names", JsonArray(names.map { JsonPrimitive(it) }))
        put("capacity", capacity)
    }
    putJsonObject("optimizer") {
        put("name", "adamw")
        put("learning_rate", 0.001)
    }
    putJsonObject("engine") {
        put("backend", "onnxruntime")
        put("version", "1.19.2")
        put("batch_size", batchSize)
    }
    putJsonArray("parity") { }
    put("files", JsonObject(files.mapValues { (_, data) -> fileInfo(data) }))
}

fun sampleManifest(content: JsonObject = sampleContent()): Manifest = parseManifest(bytes(content), "the sample")

/** Write a whole bundle, and open it. */
fun writeSampleBundle(folder: Path, files: Map<String, ByteArray> = SAMPLE_FILES): Bundle {
    for ((name, data) in files) {
        val file = folder.resolve(name)
        Files.createDirectories(file.parent)
        Files.write(file, data)
    }
    Files.write(folder.resolve("manifest.json"), bytes(sampleContent(files)))
    return openBundle(folder)
}

fun bytes(content: JsonElement): ByteArray = content.toString().toByteArray()

/** Return the content with another value at a place like "model.split"; null: without it. */
fun JsonObject.with(place: String, value: JsonElement?): JsonObject {
    val name = place.substringBefore('.')
    val rest = place.substringAfter('.', "")
    val inner = if (rest.isEmpty()) value else (this[name] as JsonObject).with(rest, value)
    return JsonObject(if (inner == null) this - name else this + (name to inner))
}

fun fileInfo(data: ByteArray): JsonObject = buildJsonObject {
    put("sha256", hex(MessageDigest.getInstance("SHA-256").digest(data)))
    put("size", data.size)
}
