/** A small learner that truly learns, for tests where no engine can be had. */
package org.hiertk.core.learning

import org.hiertk.core.ConfigException
import org.hiertk.core.EngineException
import org.hiertk.core.writeAtomically
import java.io.DataInputStream
import java.io.DataOutputStream
import java.nio.file.Files
import java.nio.file.Path
import kotlin.math.exp
import kotlin.math.ln
import kotlin.random.Random

/** Channels of its features: the mean of each colour in each quarter of the image. */
const val POOLED_CHANNELS = 12
const val POOLED_PLACES = 4

/**
 * Softmax regression on pooled pixels, by gradient descent.
 *
 * Its edge partition is fixed: channel (colour, quarter) at place p is the mean of that colour in
 * sixteenth p of the quarter, so features are (N, 12, 2, 2). The early exit is a linear layer on their
 * means, as every exported one is, and learns by its cross entropy.
 */
class PooledSoftmax(
    private val size: Int,
    private val capacity: Int,
    exported: Int,
    checkpoint: Path? = null,
    override var learningRate: Float = 1f,
) : EdgeLearner {
    private val initial = Random(7)
    private val weight = Array(capacity) { FloatArray(POOLED_CHANNELS) { initial.nextDouble(-0.3, 0.3).toFloat() } }
    private val bias = FloatArray(capacity)
    private val open = sortedSetOf<Int>().apply { addAll(0 until exported) }
    private var prior = FloatArray(capacity)
    override var edgeStep = 0L
        private set
    override val openSlots: Set<Int> get() = open.toSet()

    init {
        if (checkpoint != null) read(checkpoint)
    }

    override fun step(images: FloatArray, labels: IntArray): StepResult {
        if (labels.any { it !in open }) throw ConfigException("a label that is not open")
        val features = features(images)
        val pooled = pooled(features)
        val logits = logits(pooled)
        var loss = 0.0
        val count = labels.size
        for (row in 0 until count) {
            val shares = shares(logits, row)
            loss -= ln(shares.getValue(labels[row]))
            for ((slot, share) in shares) {
                val error = (share - if (slot == labels[row]) 1.0 else 0.0).toFloat() * learningRate / count
                for (channel in 0 until POOLED_CHANNELS) weight[slot][channel] -= error * pooled[row][channel]
                bias[slot] -= error
            }
        }
        if (loss.isNaN()) throw EngineException("the loss is not finite")
        edgeStep++
        return StepResult((loss / count).toFloat(), features, logits)
    }

    override fun predict(images: FloatArray): Answer {
        val features = features(images)
        return Answer(features, logits(pooled(features)))
    }

    override fun exitRows(slots: List<Int>): List<ExitRow> {
        if (slots.any { it !in 0 until capacity }) throw ConfigException("no slot")
        return slots.map { ExitRow(weight[it].copyOf(), bias[it]) }
    }

    override fun openSlot(slot: Int, row: ExitRow?) {
        if (row != null) {
            row.weight.copyInto(weight[slot])
            bias[slot] = row.bias
        }
        open.add(slot)
    }

    override fun closeSlot(slot: Int) {
        open.remove(slot)
    }

    override fun adjust(prior: FloatArray) {
        this.prior = prior.copyOf()
    }

    override fun save(file: Path) = writeAtomically(file) { stream ->
        val out = DataOutputStream(stream)
        out.writeLong(edgeStep)
        out.writeInt(open.size)
        open.forEach(out::writeInt)
        for (slot in 0 until capacity) {
            weight[slot].forEach(out::writeFloat)
            out.writeFloat(bias[slot])
        }
        out.flush()
    }

    override fun close() = Unit

    private fun read(file: Path) = DataInputStream(Files.newInputStream(file).buffered()).use { stream ->
        edgeStep = stream.readLong()
        open.clear()
        repeat(stream.readInt()) { open.add(stream.readInt()) }
        for (slot in 0 until capacity) {
            for (channel in 0 until POOLED_CHANNELS) weight[slot][channel] = stream.readFloat()
            bias[slot] = stream.readFloat()
        }
    }

    private fun features(images: FloatArray): FloatArray {
        val count = images.size / (3 * size * size)
        val block = size / 4
        val features = FloatArray(count * POOLED_CHANNELS * POOLED_PLACES)
        for (row in 0 until count) for (color in 0 until 3) for (y in 0 until size) for (x in 0 until size) {
            val quarter = 2 * (y / (2 * block)) + x / (2 * block)
            val place = 2 * (y / block % 2) + x / block % 2
            val channel = 4 * color + quarter
            val pixel = images[((row * 3 + color) * size + y) * size + x]
            features[(row * POOLED_CHANNELS + channel) * POOLED_PLACES + place] += pixel / (block * block)
        }
        return features
    }

    private fun pooled(features: FloatArray) = List(features.size / (POOLED_CHANNELS * POOLED_PLACES)) { row ->
        FloatArray(POOLED_CHANNELS) { channel ->
            (0 until POOLED_PLACES).sumOf { features[(row * POOLED_CHANNELS + channel) * POOLED_PLACES + it].toDouble() }
                .toFloat() / POOLED_PLACES
        }
    }

    /** Without the prior, as every learner gives them; closed slots are far below. */
    private fun logits(pooled: List<FloatArray>) = FloatArray(pooled.size * capacity) { index ->
        val slot = index % capacity
        val row = pooled[index / capacity]
        val sum = (0 until POOLED_CHANNELS).sumOf { (weight[slot][it] * row[it]).toDouble() }.toFloat() + bias[slot]
        if (slot in open) sum else sum - 1e9f
    }

    private fun shares(logits: FloatArray, row: Int): Map<Int, Double> {
        val adjusted = open.associateWith { (logits[row * capacity + it] + prior[it]).toDouble() }
        val top = adjusted.values.max()
        val total = adjusted.values.sumOf { exp(it - top) }
        return adjusted.mapValues { exp(it.value - top) / total }
    }
}
