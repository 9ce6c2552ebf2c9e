/** What a prediction says, whose it is, and why that one is shown. */
package org.hiertk.core.learning

import org.hiertk.core.EngineException

/** The two exits. */
enum class Exit { EARLY, FINAL }

/** Why the early exit's answer stands, or the final exit's. */
enum class Why {
    /** The early exit is sure. */
    SURE,

    /** Asking the cloud is switched off. */
    CLOUD_IS_OFF,

    /** The likeliest class is provisional: the cloud does not know it yet. */
    CLASS_IS_NEW,

    /** The cloud was asked and has time left to answer. */
    ASKING,

    /** There is no link. */
    NO_LINK,

    /** The cloud did not answer within the deadline. */
    NO_ANSWER,

    /** The cloud gave a reason instead of an answer, or its reply breaks the contract. */
    REFUSED,

    /** The early exit was not sure, and the cloud answered. */
    CLOUD_ANSWERED,
}

/** A class of this device: its slot and name, and whether only this device knows it. */
class KnownClass(val slot: Int, val name: String, val isProvisional: Boolean)

/** One class's probability. */
class Score(val of: KnownClass, val probability: Float)

/** One exit's probabilities, likeliest first; they sum to 1, and there is one at least. */
class Scores(val all: List<Score>) {
    /** The likeliest class. */
    val best: KnownClass get() = all.first().of

    /** Its probability. */
    val confidence: Float get() = all.first().probability
}

/**
 * What the preview shows of one frame.
 *
 * cloud: the final exit's scores, null where there are none. by: whose answer stands. edgeStep,
 * cloudStep: of the weights that answered. detail: the cloud's own words for REFUSED, else empty.
 */
class Prediction(
    val frame: Long,
    val early: Scores,
    val cloud: Scores?,
    val by: Exit,
    val why: Why,
    val edgeStep: Long,
    val cloudStep: Long? = null,
    val detail: String = "",
) {
    /** The scores that stand. */
    val shown: Scores get() = if (by == Exit.FINAL && cloud != null) cloud else early
}

/**
 * Return the early exit's scores of one image's logits (class slots,); null where no class is open.
 *
 * temperature: see `fitTemperature`.
 * Only classes that are open take part: a closed slot's probability is exactly 0, whatever its
 * logit. Throws EngineException if training has diverged: then no answer is any good.
 */
fun earlyScores(
    logits: FloatArray, classes: List<KnownClass>, openSlots: Set<Int>, temperature: Double = NO_TEMPERATURE,
): Scores? {
    val open = classes.filter { it.slot in openSlots && it.slot < logits.size }
    if (open.isEmpty()) return null
    if (open.any { logits[it.slot].isNaN() || logits[it.slot].isInfinite() }) {
        throw EngineException("the early exit's answers are not finite: training has diverged: restart the app")
    }
    return scores(open, softmax(FloatArray(open.size) { logits[open[it].slot] }, temperature).toList())
}

/**
 * Return the final exit's scores of the classes that this device shares with the cloud.
 *
 * probabilities: (class slots,). A provisional class's slot is another class's in the cloud. Null if
 * the cloud thinks of none of them: its class map is newer.
 */
fun finalScores(probabilities: FloatArray, classes: List<KnownClass>): Scores? {
    val shared = classes.filter { !it.isProvisional && it.slot < probabilities.size }
    val values = shared.map { probabilities[it.slot].toDouble() }
    return if (values.sum() > 0) scores(shared, values) else null
}

private fun scores(classes: List<KnownClass>, values: List<Double>): Scores {
    val total = values.sum()
    val all = classes.indices.map { Score(classes[it], (values[it] / total).toFloat()) }
    return Scores(all.sortedByDescending { it.probability })
}
