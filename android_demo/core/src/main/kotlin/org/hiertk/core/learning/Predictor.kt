/** The predictor: the early exit answers at once, and the final exit where the early one is not sure. */
package org.hiertk.core.learning

/** What the cloud says to a question. */
sealed class CloudReply {
    /** probabilities: (class slots,) of the one image; checked against the bundle. */
    class Known(val cloudStep: Long, val probabilities: FloatArray) : CloudReply()

    /** why: NO_LINK, NO_ANSWER or REFUSED; detail: the cloud's own words, or empty. */
    class None(val why: Why, val detail: String = "") : CloudReply()
}

/** Asks the final exit about one image's features (C, H, W); answers once, on any thread. */
fun interface AskCloud {
    fun ask(features: FloatArray, deadlineMillis: Long, answer: (CloudReply) -> Unit)
}

/**
 * When the cloud is asked.
 *
 * below: the early exit's confidence under which it is asked; 0: never. deadlineMillis: how long an
 * answer is waited for. everyMillis: between two questions, since a preview shows nearly the same
 * image many times a second and each question costs bytes.
 */
class CloudHelp(
    val ask: AskCloud,
    val below: Float = 0.6f,
    val deadlineMillis: Long = 2_000,
    val everyMillis: Long = 1_000,
)

/** What the early exit says of one frame. features: (C, H, W). */
class EarlyAnswer(
    val frame: Long,
    val scores: Scores,
    val features: FloatArray,
    val classes: List<KnownClass>,
    val edgeStep: Long,
)

/** How many frames were answered since the start; byCloud: of these, by the final exit. */
class PredictionCounts(val total: Long, val byCloud: Long)

/**
 * Turns early answers into predictions, asking the cloud on the way; it never waits for it.
 *
 * An answer of the cloud is about a frame of a moment ago. It stands for later frames, too, while
 * the early exit goes on being unsure and takes them for the same class, for as long as a deadline.
 * publish: gets each prediction, in order, and must return at once. Any thread may call.
 */
class Predictor(
    private val publish: (Prediction) -> Unit,
    private val nanoTime: () -> Long = System::nanoTime,
) {
    private class Question(val about: EarlyAnswer, val at: Long, var reply: CloudReply? = null, var repliedAt: Long = 0)

    /** How the cloud is asked; null: this device works alone. */
    @Volatile var help: CloudHelp? = null

    private var question: Question? = null
    private var newest: EarlyAnswer? = null
    private var total = 0L
    private var byCloud = 0L

    /** What became of the frames. */
    val counts: PredictionCounts
        @Synchronized get() = PredictionCounts(total, byCloud)

    /** Take the early exit's answer for a frame: publish it, and ask the cloud if it is not sure. */
    @Synchronized
    fun take(early: EarlyAnswer) {
        newest = early
        val help = help
        val reason = whyNotAsk(early, help)
        if (reason != null || help == null) {
            question = null
            return tell(stands(early, reason ?: Why.CLOUD_IS_OFF))
        }
        if (mayAsk(early, help)) ask(early, help)
        tell(judged(early, help))
    }

    private fun whyNotAsk(early: EarlyAnswer, help: CloudHelp?): Why? = when {
        help == null || help.below <= 0 -> Why.CLOUD_IS_OFF
        early.scores.confidence >= help.below -> Why.SURE
        early.scores.best.isProvisional -> Why.CLASS_IS_NEW
        else -> null
    }

    private fun mayAsk(early: EarlyAnswer, help: CloudHelp): Boolean {
        val last = question ?: return true
        val isAnswered = last.reply != null || isOver(last.at, help.deadlineMillis)
        // Soon where something else is seen, but not with every change of a wavering exit's mind.
        return isAnswered && isOver(last.at, if (isSameScene(last.about, early)) help.everyMillis else help.everyMillis / 4)
    }

    private fun ask(early: EarlyAnswer, help: CloudHelp) {
        val question = Question(early, nanoTime())
        this.question = question
        help.ask.ask(early.features, help.deadlineMillis) { reply -> answered(question, reply) }
    }

    @Synchronized
    private fun answered(question: Question, reply: CloudReply) {
        if (this.question !== question || question.reply != null) return // too late: another one was asked
        question.reply = reply
        question.repliedAt = nanoTime()
        val early = newest ?: return
        val help = help ?: return
        if (whyNotAsk(early, help) == null) tell(judged(early, help))
    }

    /** Return the prediction for a frame that the early exit is not sure of. */
    private fun judged(early: EarlyAnswer, help: CloudHelp): Prediction {
        val question = question
        if (question == null || !isSameScene(question.about, early)) return stands(early, Why.ASKING)
        return when (val reply = question.reply) {
            null -> stands(early, if (isOver(question.at, help.deadlineMillis)) Why.NO_ANSWER else Why.ASKING)
            is CloudReply.None -> stands(early, reply.why, reply.detail)
            is CloudReply.Known ->
                if (isOver(question.repliedAt, help.deadlineMillis)) stands(early, Why.ASKING) else byCloud(early, reply)
        }
    }

    private fun byCloud(early: EarlyAnswer, reply: CloudReply.Known): Prediction {
        val scores = finalScores(reply.probabilities, early.classes)
            ?: return stands(early, Why.REFUSED, "it names only classes that this device does not know yet")
        return Prediction(early.frame, early.scores, scores, Exit.FINAL, Why.CLOUD_ANSWERED, early.edgeStep, reply.cloudStep)
    }

    private fun stands(early: EarlyAnswer, why: Why, detail: String = "") =
        Prediction(early.frame, early.scores, null, Exit.EARLY, why, early.edgeStep, detail = detail)

    private fun tell(prediction: Prediction) {
        if (prediction.frame != lastTold) {
            lastTold = prediction.frame
            total++
            wasByCloud = false
        }
        if (prediction.by == Exit.FINAL && !wasByCloud) {
            byCloud++
            wasByCloud = true
        }
        publish(prediction)
    }

    private var lastTold = Long.MIN_VALUE
    private var wasByCloud = false

    private fun isSameScene(a: EarlyAnswer, b: EarlyAnswer) = a.scores.best.slot == b.scores.best.slot

    private fun isOver(since: Long, millis: Long) = nanoTime() - since >= millis * 1_000_000
}
