/** The checkpoint of a step program's training: the same safetensors file that the Python learner reads and writes. */
package org.hiertk.learner.executorch

import org.hiertk.core.BundleException
import org.hiertk.core.bundle.Manifest
import org.hiertk.core.learning.parseSlots
import org.hiertk.core.onOneLine
import org.hiertk.core.tensors.Safetensors
import org.hiertk.core.tensors.writeSafetensors
import java.nio.file.Path

private const val BUNDLE = "hiertk_bundle_id"
private const val STEP = "hiertk_edge_step"
private const val OPEN = "hiertk_open_slots"
private const val PARAMETERS = "parameters"
private const val STATISTICS = "statistics"
private const val STEP_DIGITS = 15
private const val SHOWN = 40
private const val ADVICE = "take the checkpoint before it, or begin anew from the bundle"

/** What a checkpoint holds. */
internal class Saved(val training: Training, val openSlots: Set<Int>)

/** Write a checkpoint, atomically; openSlots: as of `ExitSlots.text`. Throws StorageException. */
internal fun writeCheckpoint(file: Path, training: Training, manifest: Manifest, openSlots: String) {
    val metadata = mapOf(BUNDLE to manifest.bundleIdHex, STEP to training.steps.toString(), OPEN to openSlots)
    writeSafetensors(file, training.byKey(), metadata)
}

/** Read a checkpoint, whose tensors are like the exported ones. Throws BundleException. */
internal fun readCheckpoint(file: Path, exported: Training, manifest: Manifest): Saved {
    val found = Safetensors(file, ADVICE)
    val metadata = found.metadata
    val bundle = metadata[BUNDLE] ?: throw BundleException("$file is no checkpoint of a device: $ADVICE")
    if (bundle != manifest.bundleIdHex) {
        throw BundleException(
            "$file is a checkpoint of bundle ${onOneLine(bundle, SHOWN)}, not of ${manifest.bundleIdHex}: " +
                "take that bundle, or forget what was learned",
        )
    }
    val steps = stepsOf(metadata[STEP].orEmpty())
    val slots = parseSlots(metadata[OPEN] ?: "none", manifest.classes.capacity)
    if (steps == null || slots == null || !found.isLike(exported)) {
        throw BundleException("$file does not fit the bundle whose id it has, it is damaged: $ADVICE")
    }
    return Saved(found.training(exported, steps), slots)
}

/** Return all tensors as `kind/name`. */
private fun Training.byKey(): Tensors {
    val groups = mapOf(PARAMETERS to parameters, STATISTICS to statistics) + moments
    return groups.flatMap { (kind, tensors) -> tensors.map { (name, tensor) -> "$kind/$name" to tensor } }.toMap()
}

private fun stepsOf(text: String): Long? =
    if (text.length in 1..STEP_DIGITS && text.all { it in '0'..'9' }) text.toLong() else null

private fun Safetensors.isLike(exported: Training): Boolean {
    val wanted = exported.byKey()
    return names == wanted.keys && wanted.all { (key, tensor) -> shape(key) == tensor.shape }
}

private fun Safetensors.training(exported: Training, steps: Long) = Training(
    group(PARAMETERS, exported.parameters),
    exported.moments.mapValues { (kind, tensors) -> group(kind, tensors) },
    group(STATISTICS, exported.statistics),
    steps,
)

private fun Safetensors.group(kind: String, like: Tensors): Tensors = like.mapValues { (name, _) -> tensor("$kind/$name") }
