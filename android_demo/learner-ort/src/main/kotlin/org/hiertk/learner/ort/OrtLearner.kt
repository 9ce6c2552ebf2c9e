/** The EdgeLearner on ONNX Runtime's on-device training, on a phone or on a plain JVM. */
package org.hiertk.learner.ort

import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtTrainingSession
import org.hiertk.core.BundleException
import org.hiertk.core.ConfigException
import org.hiertk.core.EngineException
import org.hiertk.core.StorageException
import org.hiertk.core.bundle.Bundle
import org.hiertk.core.learning.Answer
import org.hiertk.core.learning.EdgeLearner
import org.hiertk.core.learning.ExitRow
import org.hiertk.core.learning.ExitSlots
import org.hiertk.core.learning.StepResult
import org.hiertk.core.learning.checkImages
import org.hiertk.core.learning.checkLearningRate
import org.hiertk.core.learning.checkRow
import org.hiertk.core.reasonOf
import org.hiertk.core.syncFolder
import org.hiertk.core.temporaryOf
import java.io.IOException
import java.nio.channels.FileChannel
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption
import java.nio.file.StandardOpenOption

/**
 * See `EdgeLearner`. Opened at a checkpoint of `save`, or at the exported weights.
 *
 * A checkpoint is one file, the same that the Python learner reads and writes. Throws BundleException
 * for another engine version and for a checkpoint that is damaged or of another bundle, EngineException
 * if there is no training engine, ConfigException for fewer threads than one.
 */
class OrtLearner(private val bundle: Bundle, checkpoint: Path? = null, threads: Int = 1) : EdgeLearner {
    private val manifest = bundle.manifest
    private val channels = manifest.features.shape[0]
    private val engine: OrtEngine
    private val inputs: Inputs
    private var session: OrtTrainingSession
    private val kept: Kept
    private var isClosed = false

    // The engine takes parameters from a file alone: rows wait here, and it gets all of them at once.
    private val waitingRows = LinkedHashMap<Int, ExitRow>()
    private var knownRows: List<ExitRow>? = null // as of now, those that wait among them; null: to be read again

    init {
        if (threads < 1) throw ConfigException("$threads threads: at least 1")
        engine = OrtEngine(bundle, threads)
        inputs = Inputs(engine.environment, manifest.input.size)
        val exported = bundle.path(OrtEngine.CHECKPOINT)
        check(exported, checkpoint)
        session = engine.open(checkpoint ?: exported)
        kept = try {
            checkSession()
            if (checkpoint == null) Kept.exported(manifest) else Kept.read(session, manifest, checkpoint)
        } catch (error: BundleException) {
            session.close()
            throw error
        }
    }

    private val slots = ExitSlots(manifest.classes.capacity, kept.openSlots)

    override var edgeStep = kept.edgeStep
        private set

    override val openSlots: Set<Int> get() = slots.open

    override var learningRate = manifest.optimizer.learningRate.toFloat()
        set(rate) {
            checkLearningRate(rate)
            engineCall("setting the learning rate") { session.setLearningRate(rate) }
            field = rate
        }

    init {
        session.setLearningRate(learningRate) // it begins with one of its own
    }

    /** See `EdgeLearner.step`. After an EngineException the running statistics may have moved: open a checkpoint. */
    override fun step(images: FloatArray, labels: IntArray): StepResult {
        slots.checkLabels(labels, checkImages(images, manifest.input))
        handOverRows()
        knownRows = null
        val result = engineCall("a training step") { train(images, labels) }
        edgeStep += 1
        return slots.unadjusted(result, labels)
    }

    override fun predict(images: FloatArray): Answer {
        val anySlots = IntArray(checkImages(images, manifest.input))
        handOverRows()
        val result = engineCall("a prediction") {
            inputs.use(session.evalInputNames, images, slots.evaluationBias, anySlots) { tensors ->
                session.evalStep(tensors).use(::readResult)
            }
        }
        return Answer(result.features, result.logits)
    }

    override fun exitRows(slots: List<Int>): List<ExitRow> {
        slots.forEach(this.slots::check)
        val rows = knownRows ?: readRows().also { knownRows = it }
        return slots.map { ExitRow(rows[it].weight.copyOf(), rows[it].bias) }
    }

    override fun openSlot(slot: Int, row: ExitRow?) {
        slots.check(slot)
        if (row != null) {
            checkRow(row, channels)
            val own = ExitRow(row.weight.copyOf(), row.bias)
            waitingRows[slot] = own
            knownRows = knownRows?.mapIndexed { index, one -> if (index == slot) own else one }
        }
        slots.add(slot)
    }

    override fun closeSlot(slot: Int) = slots.remove(slot)

    override fun adjust(prior: FloatArray) = slots.adjust(prior)

    override fun save(file: Path) {
        val temporary = temporaryOf(file)
        try {
            try {
                write(temporary)
                FileChannel.open(temporary, StandardOpenOption.WRITE).use { it.force(true) }
                Files.move(temporary, file, StandardCopyOption.ATOMIC_MOVE)
                syncFolder(file.toAbsolutePath().parent)
            } finally {
                Files.deleteIfExists(temporary) // which may be refused, too
            }
        } catch (error: IOException) {
            throw StorageException("$file: ${reasonOf(error)}: $ADVICE", error)
        }
    }

    override fun close() {
        if (!isClosed) session.close() // the engine's own throws the second time
        isClosed = true
    }

    private fun train(images: FloatArray, labels: IntArray): StepResult = try {
        val result = inputs.use(session.trainInputNames, images, slots.trainingBias, labels) { tensors ->
            session.trainStep(tensors).use(::readResult)
        }
        if (!result.loss.isFinite()) {
            throw EngineException("training diverged, its loss is ${result.loss}: open the last checkpoint again")
        }
        session.optimizerStep()
        result
    } finally {
        session.lazyResetGrad()
    }

    private fun readRows(): List<ExitRow> = withParameters { file ->
        List(manifest.classes.capacity, CheckpointFile(file)::readRow)
    }

    /** Give the engine the rows that wait: a new session is opened at a file that has them. */
    private fun handOverRows() {
        if (waitingRows.isEmpty()) return
        withParameters { file ->
            val fresh = engine.open(file)
            session.close()
            session = fresh
        }
        waitingRows.clear()
        learningRate = learningRate
    }

    /** Hand a checkpoint of this moment, a file of its own, to `work`. */
    private fun <T> withParameters(work: (Path) -> T): T {
        val file = try {
            Files.createTempFile("hiertk", ".checkpoint")
        } catch (error: IOException) {
            throw StorageException("temporary files: ${reasonOf(error)}: $ADVICE", error)
        }
        try {
            write(file)
            return work(file)
        } finally {
            Files.deleteIfExists(file)
        }
    }

    private fun write(file: Path) {
        try {
            Kept.save(session, manifest, edgeStep, slots.text(), file)
            val saved = CheckpointFile(file)
            for ((slot, row) in waitingRows) saved.writeRow(slot, row)
        } catch (error: OrtException) {
            throw StorageException("$file: the engine cannot write it: ${firstLine(error)}: $ADVICE", error)
        } catch (error: BundleException) { // what it wrote is read again at once
            throw StorageException("$file: the engine wrote a part of it: $ADVICE", error)
        }
    }

    private fun check(exported: Path, checkpoint: Path?) {
        val original = CheckpointFile(exported)
        original.checkExit(manifest.classes.capacity, channels)
        if (checkpoint != null) CheckpointFile(checkpoint).checkLike(original)
    }

    private fun checkSession() {
        if (session.trainInputNames.size != INPUTS || session.evalInputNames.size != INPUTS) {
            throw BundleException("${bundle.folder}: its step takes ${session.trainInputNames}: export it again")
        }
    }

    private companion object {
        const val INPUTS = 3 // images, the exit's bias, labels
        const val ADVICE = "free some storage of the phone"
    }
}
