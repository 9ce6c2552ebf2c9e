/** The EdgeLearner over ExecuTorch's step programs: all state is here, the programs compute. */
package org.hiertk.learner.executorch

import org.hiertk.core.BundleException
import org.hiertk.core.ConfigException
import org.hiertk.core.EngineException
import org.hiertk.core.HierTkException
import org.hiertk.core.bundle.Backend
import org.hiertk.core.bundle.Bundle
import org.hiertk.core.bundle.Sgd
import org.hiertk.core.learning.Answer
import org.hiertk.core.learning.EdgeLearner
import org.hiertk.core.learning.ExitRow
import org.hiertk.core.learning.ExitSlots
import org.hiertk.core.learning.StepResult
import org.hiertk.core.learning.checkImages
import org.hiertk.core.learning.checkLearningRate
import org.hiertk.core.tensors.FloatTensor
import java.nio.file.Path

/** The one version of ExecuTorch whose programs this learner runs. */
const val EXECUTORCH_VERSION = "1.5.1"

/**
 * See `EdgeLearner`. Opened at a checkpoint of `save`, or at the exported weights.
 *
 * A batch smaller than the program's is padded with images of no weight: exact where no statistics are
 * moved; batch statistics would count the padding, so there it is refused. open: opens a `.pte` file.
 * Throws BundleException for another backend, engine version or optimizer, and for files that are
 * damaged or of another bundle; what `open` throws, too.
 */
class ExecutorchLearner(
    private val bundle: Bundle,
    checkpoint: Path? = null,
    open: (Path) -> StepProgram,
) : EdgeLearner {
    private val manifest = bundle.manifest
    private val optimizer = optimizerOf(bundle)
    private val batches = Batches(manifest.engine.batchSize, manifest.classes.capacity, manifest.input)
    private val constants: Tensors
    private var training: Training
    private val slots: ExitSlots
    private val step: StepProgram
    private val infer: StepProgram

    init {
        val state = ProgramState.read(bundle)
        checkExit(state.parameters, manifest.classes.capacity, manifest.features.shape[0], bundle.folder)
        constants = state.constants
        val exported = Saved(untrained(optimizer, state), manifest.classes.names.indices.toSet())
        val saved = if (checkpoint == null) exported else readCheckpoint(checkpoint, exported.training, manifest)
        training = saved.training
        slots = ExitSlots(manifest.classes.capacity, saved.openSlots)
        step = open(bundle.path(STEP))
        infer = try {
            open(bundle.path(INFER))
        } catch (error: HierTkException) {
            step.close()
            throw error
        }
    }

    override val edgeStep: Long get() = training.steps

    override val openSlots: Set<Int> get() = slots.open

    override var learningRate = optimizer.learningRate.toFloat()
        set(rate) {
            checkLearningRate(rate)
            field = rate
        }

    override fun step(images: FloatArray, labels: IntArray): StepResult {
        val count = checkImages(images, manifest.input)
        slots.checkLabels(labels, count)
        checkCount(count)
        val inputs = listOf(batches.images(images), batches.targets(labels), bias(slots.trainingBias))
        val computed = computed(step.run(inputs + state()), count)
        // All that is new first, then in place in one assignment: what throws has changed nothing.
        training = stepped(optimizer, learningRate, training, computed.gradients, computed.statistics)
        return slots.unadjusted(computed.result, labels)
    }

    override fun predict(images: FloatArray): Answer {
        checkImages(images, manifest.input)
        val answers = batches.pieces(images).map(::predictPiece)
        return Answer(joined(answers.map { it.features }), joined(answers.map { it.logits }))
    }

    override fun exitRows(slots: List<Int>): List<ExitRow> {
        slots.forEach(this.slots::check)
        return slots.map { rowOf(training, it) }
    }

    override fun openSlot(slot: Int, row: ExitRow?) {
        slots.check(slot)
        training = withRow(training, slot, row)
        slots.add(slot)
    }

    override fun closeSlot(slot: Int) = slots.remove(slot)

    override fun adjust(prior: FloatArray) = slots.adjust(prior)

    override fun save(file: Path) = writeCheckpoint(file, training, manifest, slots.text())

    override fun close() {
        step.close()
        infer.close()
    }

    private fun predictPiece(images: FloatArray): Answer {
        val outputs = infer.run(listOf(batches.images(images), bias(slots.evaluationBias)) + state())
        if (outputs.size != ANSWERS) throw misfit("${outputs.size} values")
        return answer(outputs[0], outputs[1], images.size / manifest.input.values)
    }

    private fun computed(outputs: List<FloatTensor>, count: Int): Computed {
        val gradients = 1 + ANSWERS
        val statistics = gradients + training.parameters.size
        if (outputs.size != statistics + training.statistics.size) throw misfit("${outputs.size} values")
        val loss = outputs[0].values.singleOrNull() ?: throw misfit("a loss ${outputs[0].shape}")
        if (!loss.isFinite()) throw EngineException("training diverged, its loss is $loss: open the last checkpoint again")
        val answer = answer(outputs[1], outputs[2], count)
        return Computed(
            StepResult(loss, answer.features, answer.logits),
            named(training.parameters, outputs.subList(gradients, statistics)),
            named(training.statistics, outputs.subList(statistics, outputs.size)),
        )
    }

    /** Return the first rows of a batch's features and logits. */
    private fun answer(features: FloatTensor, logits: FloatTensor, count: Int): Answer {
        val wanted = listOf(manifest.engine.batchSize) + manifest.features.shape
        if (features.shape != wanted) throw misfit("features ${features.shape}")
        if (logits.shape != listOf(manifest.engine.batchSize, manifest.classes.capacity)) throw misfit("logits ${logits.shape}")
        return Answer(
            features.values.copyOf(count * manifest.features.values),
            logits.values.copyOf(count * manifest.classes.capacity),
        )
    }

    private fun named(like: Tensors, values: List<FloatTensor>): Tensors {
        val named = like.keys.zip(values).toMap()
        for ((name, value) in named) if (value.shape != like.getValue(name).shape) throw misfit("$name ${value.shape}")
        return named
    }

    private fun state(): List<FloatTensor> =
        training.parameters.values + training.statistics.values + constants.values

    private fun bias(values: FloatArray) = FloatTensor(listOf(values.size), values)

    /** Refuse batches that this program cannot train on. Throws ConfigException. */
    private fun checkCount(count: Int) {
        val size = manifest.engine.batchSize
        if (training.statistics.isNotEmpty() && count != size) {
            throw ConfigException(
                "a batch of $count: this program trains on batch statistics of exactly $size images; " +
                    "export with --normalization group or frozen for smaller batches",
            )
        }
        if (count > size) throw ConfigException("a batch of $count: this program trains on up to $size images")
    }

    private fun misfit(what: String) = BundleException("${bundle.folder}: its program gives $what: export the bundle again")

    /** What a step gives, before anything is put in place. */
    private class Computed(val result: StepResult, val gradients: Tensors, val statistics: Tensors)

    private companion object {
        const val STEP = "edge/train.pte"
        const val INFER = "edge/infer.pte"
        const val ANSWERS = 2 // features, logits
    }
}

/** Return the bundle's optimizer. Throws BundleException where this learner cannot train the bundle. */
private fun optimizerOf(bundle: Bundle): Sgd {
    val engine = bundle.manifest.engine
    if (engine.backend != Backend.EXECUTORCH) {
        throw BundleException(
            "${bundle.folder}: the bundle is for ${engine.backend.name.lowercase()}, not for executorch: " +
                "export it with --backend executorch",
        )
    }
    if (engine.version != EXECUTORCH_VERSION) {
        throw BundleException(
            "${bundle.folder}: the bundle is for executorch ${engine.version}, here is $EXECUTORCH_VERSION: " +
                "export it again with the version of hiertk that made this app",
        )
    }
    return bundle.manifest.optimizer as? Sgd
        ?: throw BundleException("${bundle.folder}: the phone trains executorch's programs with sgd: export with --optimizer sgd")
}
