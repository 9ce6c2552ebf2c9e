/** Checking an engine on the phone itself: the reference's first steps, which every bundle carries. */
package org.hiertk.core.golden

import org.hiertk.core.BundleException
import org.hiertk.core.EngineException
import org.hiertk.core.bundle.Bundle
import org.hiertk.core.bundle.ParityCheck
import org.hiertk.core.learning.EdgeLearner
import org.hiertk.core.tensors.Safetensors
import kotlin.math.abs
import kotlin.math.max

/**
 * A bundle's golden vectors: inputs and labels of its first steps, and what the reference made of them.
 *
 * The tolerances are the export's: what rounding alone does to this network, and some more. Throws
 * BundleException.
 */
class GoldenSteps(bundle: Bundle) {
    private val tensors = Safetensors(bundle.path("golden/steps.safetensors"))
    private val losses = tensors.floats("losses")
    private val features = tensors.floats("features")
    private val logits = tensors.floats("logits")
    private val tolerances = tensors.doubles("tolerances")
    private val samples: Int
    private val values: Int

    init {
        val labels = tensors.shape("labels")
        samples = labels.lastOrNull() ?: 0
        values = samples * bundle.manifest.input.values
        val isWhole = labels == listOf(losses.size, samples) && samples > 0 &&
            tensors.shape("images") == labels + listOf(3, bundle.manifest.input.size, bundle.manifest.input.size)
        if (!isWhole || losses.isEmpty() || tolerances.size != 3) {
            throw BundleException("${bundle.folder}: its golden vectors do not fit it: export the bundle again")
        }
    }

    /** How many steps there are. */
    val steps: Int get() = losses.size

    /** Return a step's images (N, 3, size, size). */
    fun images(step: Int): FloatArray = tensors.floats("images", step * values, values)

    /** Return a step's labels, N class slots. */
    fun labels(step: Int): IntArray =
        tensors.longs("labels", step * samples, samples).map(Long::toInt).toIntArray()

    /** Train a fresh learner on the golden steps. Throws EngineException, naming the first check that fails. */
    fun verify(learner: EdgeLearner) {
        val failed = compare(learner).firstOrNull { it.worst > it.tolerance } ?: return
        throw EngineException(
            "${failed.what} differs from the PyTorch reference by ${failed.worst}, allowed is " +
                "${failed.tolerance}: do not use this bundle on this phone",
        )
    }

    /** Train a fresh learner on the golden steps and compare with the reference. */
    fun compare(learner: EdgeLearner): List<ParityCheck> {
        val checks = mutableListOf<ParityCheck>()
        for (step in 0 until steps) {
            val result = learner.step(images(step), labels(step))
            if (step == 0) {
                checks += compare("features of step 0", result.features, features, tolerances[FEATURES])
                checks += compare("logits of step 0", result.logits, logits, tolerances[FEATURES])
            }
            val wanted = floatArrayOf(losses[step])
            val tolerance = tolerances[if (step == 0) FIRST_LOSS else LATER_LOSS]
            checks += compare("loss of step $step", floatArrayOf(result.loss), wanted, tolerance)
        }
        return checks
    }
}

/** Return the largest difference, relative to 1 where values are larger than 1. */
private fun compare(what: String, got: FloatArray, wanted: FloatArray, tolerance: Double): ParityCheck {
    if (got.size != wanted.size) throw EngineException("$what: ${got.size} values, the reference has ${wanted.size}")
    var worst = 0.0
    for (index in got.indices) {
        val difference = abs(got[index] - wanted[index]) / max(abs(wanted[index]), 1f)
        // NaN compares as nothing: it is as bad as it gets.
        worst = if (difference.isNaN()) Double.MAX_VALUE else max(worst, difference.toDouble())
    }
    return ParityCheck(what, worst, tolerance, "")
}

private const val FEATURES = 0
private const val FIRST_LOSS = 1
private const val LATER_LOSS = 2
