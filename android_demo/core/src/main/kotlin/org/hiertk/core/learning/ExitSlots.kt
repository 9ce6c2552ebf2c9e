/** Which class slots of an early exit are open, and what an engine adds to its logits. */
package org.hiertk.core.learning

import org.hiertk.core.ConfigException
import kotlin.math.exp
import kotlin.math.ln

/** What a closed slot's logit is lowered by: its softmax is exactly 0 in float32, and so is its gradient. */
const val CLOSED_SLOT_BIAS = -1e9f

/**
 * The open slots of one early exit, and the prior of its training steps.
 *
 * evaluationBias, trainingBias: (class slots,), what is added to the logits.
 */
class ExitSlots(private val capacity: Int, open: Set<Int>) {
    private var prior: FloatArray? = null

    /** The open slots. */
    var open: Set<Int> = emptySet()
        private set
    var evaluationBias = FloatArray(capacity)
        private set
    var trainingBias = evaluationBias
        private set

    init {
        put(open)
    }

    /** Return the open slots as a checkpoint keeps them. */
    fun text(): String = open.sorted().joinToString(" ")

    /** Open a slot. Throws ConfigException for what is no slot. */
    fun add(slot: Int) {
        check(slot)
        put(open + slot)
    }

    /** Close a slot. Throws ConfigException for what is no slot. */
    fun remove(slot: Int) {
        check(slot)
        put(open - slot)
    }

    /** See `EdgeLearner.adjust`. Throws ConfigException for another length, or values that are not finite. */
    fun adjust(prior: FloatArray) {
        if (prior.size != capacity || !prior.all(Float::isFinite)) {
            throw ConfigException("a prior must be $capacity finite values, got ${prior.size}")
        }
        this.prior = if (prior.any { it != 0f }) prior.copyOf() else null
        put(open)
    }

    /** Refuse what is no slot. Throws ConfigException. */
    fun check(slot: Int) {
        if (slot !in 0 until capacity) {
            throw ConfigException("slot $slot: this bundle's exits have slots 0 to ${capacity - 1}")
        }
    }

    /** Refuse labels that an engine would silently turn into a garbage loss. Throws ConfigException. */
    fun checkLabels(labels: IntArray, count: Int) {
        if (labels.size != count) {
            throw ConfigException("$count images need $count labels, got ${labels.size}")
        }
        for (label in labels) {
            if (label !in open) {
                throw ConfigException("label $label has no class: slots ${text()} are open")
            }
        }
    }

    /** Return a training step's result as it is without the prior. */
    fun unadjusted(result: StepResult, labels: IntArray): StepResult {
        val prior = this.prior ?: return result
        val logits = FloatArray(result.logits.size) { result.logits[it] - prior[it % capacity] }
        return StepResult(crossEntropy(logits, labels), result.features, logits)
    }

    private fun put(slots: Set<Int>) {
        open = slots.toSortedSet()
        evaluationBias = FloatArray(capacity) { if (it in slots) 0f else CLOSED_SLOT_BIAS }
        val added = prior
        trainingBias =
            if (added == null) evaluationBias else FloatArray(capacity) { evaluationBias[it] + added[it] }
    }

    private fun crossEntropy(logits: FloatArray, labels: IntArray): Float {
        var sum = 0.0
        for ((row, label) in labels.withIndex()) {
            val start = row * capacity
            var most = logits[start]
            for (slot in 1 until capacity) most = maxOf(most, logits[start + slot])
            var all = 0.0
            for (slot in 0 until capacity) all += exp((logits[start + slot] - most).toDouble())
            sum += ln(all) - (logits[start + label] - most)
        }
        return (sum / labels.size).toFloat()
    }
}

/** Return the slots of `ExitSlots.text`; null for any other text. */
fun parseSlots(text: String, capacity: Int): Set<Int>? {
    if (text.isEmpty()) return emptySet()
    // One more than there are slots is enough to see that there are too many.
    val words = text.split(" ", limit = capacity + 1)
    val isPlain = words.all { word -> word.length in 1..5 && word.all { it in '0'..'9' } }
    val slots = if (isPlain) words.map(String::toInt) else return null
    val isOrdered = slots.zipWithNext().all { (one, next) -> one < next }
    return if (isOrdered && slots.last() < capacity) slots.toSet() else null
}
