/** The edge step: train on a lesson, and put the features into the spool. */
package org.hiertk.core.learning

import org.hiertk.core.bundle.InputInfo
import org.hiertk.core.classes.ClassTable
import org.hiertk.core.classes.DeviceClasses
import org.hiertk.core.image.InputNormalizer
import org.hiertk.core.messages.BatchEncoder
import org.hiertk.core.messages.WireClasses
import org.hiertk.core.spool.Spool

/** Where features go. maxMessageBytes: as the link takes them now. spooled: is told of new messages. */
class Outbox(
    val encoder: BatchEncoder,
    val spool: Spool,
    val maxMessageBytes: () -> Int,
    val spooled: () -> Unit = {},
)

/** Inputs of images in a buffer that is made anew only when their number changes; one thread. */
internal class InputBuffer(private val info: InputInfo) {
    private val normalizer = InputNormalizer(info)

    /** The newest inputs, (N, 3, size, size); empty before the first. */
    var newest: FloatArray = FloatArray(0)
        private set

    /** Return the inputs (N, 3, size, size) of images as 8-bit RGB, until the next call. */
    fun of(images: List<ByteArray>): FloatArray {
        if (newest.size != images.size * info.values) newest = FloatArray(images.size * info.values)
        for (row in images.indices) normalizer.normalize(images[row], newest, row * info.values)
        return newest
    }
}

/** Does one lesson after the other; one thread. */
internal class Trainer(
    private val learner: EdgeLearner,
    private val newSlots: NewSlots,
    info: InputInfo,
    private val classes: DeviceClasses,
    private val outbox: Outbox,
    private val progress: Progress,
) {
    private val buffer = InputBuffer(info)

    /** Inputs of the newest lesson, (N, 3, size, size); empty before the first. */
    val newest: FloatArray get() = buffer.newest

    /**
     * Train on a lesson, and return what to send; where it is no step, open its slots alone.
     *
     * Throws EngineException as the learner does: then nothing is done.
     */
    fun take(lesson: Lesson): Features? {
        val images = buffer.of(lesson.samples.map { it.pixels })
        val labels = lesson.labels
        if (!lesson.isStep) {
            newSlots.open(images, labels)
            return null
        }
        val edgeStep = learner.edgeStep
        val started = System.nanoTime()
        newSlots.prepare(images, labels)
        val result = learner.step(images, labels)
        val millis = (System.nanoTime() - started) / 1e6
        progress.add(learner.edgeStep, result.loss, accuracy(result.logits, labels), millis)
        return Features(result, labels.copyOf(lesson.sent), edgeStep)
    }

    /** Put the features of a step into the spool. Throws StorageException if the disk takes none. */
    fun send(features: Features) {
        val messages = outbox.encoder.encode(
            features.result, features.labels, wireClasses(classes.table), features.edgeStep,
            maxBytes = outbox.maxMessageBytes(),
        )
        for (message in messages) outbox.spool.put(message)
        outbox.spooled()
    }
}

/** What a step gives the cloud: the first rows of its result, one for each label; edgeStep: before the step. */
internal class Features(val result: StepResult, val labels: IntArray, val edgeStep: Long)

/** Return what a table's slots are on the wire. */
fun wireClasses(table: ClassTable): WireClasses =
    WireClasses(table.map.version.toInt(), table.provisional.entries.associate { (name, slot) -> slot to name })

/** Return the share of rows of logits (N, class slots) whose likeliest slot is the label. */
internal fun accuracy(logits: FloatArray, labels: IntArray): Double {
    val slots = logits.size / labels.size
    return labels.indices.count { likeliest(logits, it * slots, slots) == labels[it] }.toDouble() / labels.size
}

/** Return the slot of the highest logit of a row that begins at `from`. */
internal fun likeliest(logits: FloatArray, from: Int, slots: Int): Int {
    var best = 0
    for (slot in 1 until slots) if (logits[from + slot] > logits[from + best]) best = slot
    return best
}
