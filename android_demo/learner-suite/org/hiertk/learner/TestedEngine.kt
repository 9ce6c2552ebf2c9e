package org.hiertk.learner

import org.hiertk.core.bundle.Bundle
import org.hiertk.core.bundle.openBundle
import org.hiertk.core.golden.GoldenSteps
import org.hiertk.core.learning.EdgeLearner
import org.hiertk.core.learning.StepResult
import org.hiertk.core.tensors.Safetensors
import java.nio.file.Files
import java.nio.file.Path
import java.security.MessageDigest
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals

/** An engine that is tested. */
interface TestedEngine {
    /** Of 10 classes in 16 slots, with 3 golden batches of 4 images or more. */
    val bundle: Bundle

    /** Open a learner on it. */
    fun open(bundle: Bundle = this.bundle, checkpoint: Path? = null): EdgeLearner
}

/** Train a learner on the golden batches. */
fun GoldenSteps.train(learner: EdgeLearner): List<StepResult> = List(steps) { learner.step(images(it), labels(it)) }

/**
 * Return a copy of a bundle in a new folder of `into`, with an edited manifest.
 *
 * changed: other content of the same length for some files, whose sums it has then.
 */
fun copyOf(
    bundle: Bundle, into: Path, changed: Map<String, ByteArray> = emptyMap(), edit: (String) -> String = { it },
): Bundle {
    val copy = Files.createTempDirectory(into, "bundle")
    for (name in bundle.manifest.files.keys.filterNot { it.startsWith("cloud/") }) {
        Files.createDirectories(copy.resolve(name).parent)
        Files.write(copy.resolve(name), changed[name] ?: Files.readAllBytes(bundle.folder.resolve(name)))
    }
    val manifest = String(Files.readAllBytes(bundle.folder.resolve("manifest.json")))
    val summed = changed.entries.fold(manifest) { text, (name, bytes) ->
        text.replace(bundle.manifest.files.getValue(name).sha256, sha256(bytes))
    }
    Files.write(copy.resolve("manifest.json"), edit(summed).toByteArray())
    return openBundle(copy)
}

fun assertSame(wanted: List<StepResult>, got: List<StepResult>) {
    for ((one, other) in wanted.zip(got)) {
        assertEquals(one.loss, other.loss)
        assertContentEquals(one.features, other.features)
        assertContentEquals(one.logits, other.logits)
    }
}

fun assertSame(wanted: Safetensors, got: List<StepResult>) {
    assertContentEquals(wanted.floats("losses"), got.map { it.loss }.toFloatArray())
    assertContentEquals(wanted.floats("features"), joined(got.map { it.features }))
    assertContentEquals(wanted.floats("logits"), joined(got.map { it.logits }))
}

private fun joined(parts: List<FloatArray>): FloatArray = parts.reduce { one, other -> one + other }

private fun sha256(bytes: ByteArray): String =
    MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { "%02x".format(it) }
