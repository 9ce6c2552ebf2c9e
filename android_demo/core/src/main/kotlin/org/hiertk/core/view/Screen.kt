/** The pure functions that make the screen's state out of the parts' snapshots. */
package org.hiertk.core.view

import org.hiertk.core.learning.ClassExamples
import org.hiertk.core.learning.Exit
import org.hiertk.core.learning.LearningSnapshot
import org.hiertk.core.learning.LearningState
import org.hiertk.core.learning.Prediction
import org.hiertk.core.learning.Scores
import org.hiertk.core.learning.Series
import org.hiertk.core.link.LinkSnapshot
import org.hiertk.core.link.LinkState
import org.hiertk.core.link.Obstacle

/**
 * What the parts say at one moment.
 *
 * learning: null while the engine is being opened, or if it could not be: then failure says why.
 * prediction: the newest one. link: null as long as the phone is in no deployment.
 */
class Parts(
    val learning: LearningSnapshot?,
    val failure: String?,
    val prediction: Prediction?,
    val capture: CaptureState,
    val link: LinkSnapshot?,
)

/** Return the screen's state. exported: classes of the bundle. */
fun screenOf(parts: Parts, exported: Int): ScreenState = ScreenState(
    preview = previewOf(parts),
    teach = teachOf(parts.capture, parts.learning),
    curves = curvesOf(parts.learning),
    counters = countersOf(parts.learning, parts.link),
    classes = parts.learning?.let { linesOf(it, exported) }.orEmpty(),
    link = linkLineOf(parts.link),
    problems = (listOfNotNull(parts.failure) + parts.learning?.problems.orEmpty() + parts.link?.problems.orEmpty()).distinct(),
)

private fun previewOf(parts: Parts): PreviewState {
    val failure = parts.failure
    val prediction = parts.prediction
    return when {
        failure != null -> PreviewState.Failed(failure)
        parts.learning == null -> PreviewState.Starting
        prediction == null -> PreviewState.NoAnswer
        else -> PreviewState.Answered(
            early = answerOf(prediction.early),
            cloud = prediction.cloud?.let(::answerOf),
            shown = if (prediction.cloud == null) Exit.EARLY else prediction.by,
            why = prediction.why,
            detail = prediction.detail,
        )
    }
}

private fun answerOf(scores: Scores) = ExitAnswer(scores.best.name, scores.confidence, scores.best.isProvisional)

/** Capturing is shown before training: it is what the user is doing. */
private fun teachOf(capture: CaptureState, learning: LearningSnapshot?): TeachState = when (capture) {
    is CaptureState.Capturing -> TeachState.Capturing(capture.name, capture.count, capture.of)
    is CaptureState.Captured -> TeachState.Captured(capture.name, capture.count, capture.millisLeft)
    is CaptureState.Idle -> when (learning?.state) {
        LearningState.TRAINING -> TeachState.Training(learning.waiting, learning.practice)
        LearningState.PAUSED -> TeachState.Paused(learning.waiting)
        else -> TeachState.Idle
    }
}

private fun curvesOf(learning: LearningSnapshot?): CurvesState {
    val measures = learning?.measures ?: return CurvesState(Series.EMPTY, emptyList())
    val curves = learning.classes.mapNotNull { one ->
        measures.accuracyCurves[one.slot]?.let { ClassCurve(one.slot, one.name, it) }
    }
    return CurvesState(measures.lossCurve, curves)
}

private fun countersOf(learning: LearningSnapshot?, link: LinkSnapshot?) = Counters(
    samples = learning?.taught ?: 0,
    steps = learning?.edgeStep ?: 0,
    sentBytes = link?.dayBytes ?: 0,
    spooledMessages = link?.spooled ?: 0,
    spooledBytes = link?.spooledBytes ?: 0,
    budgetLeft = link?.budgetLeft,
)

private fun linesOf(learning: LearningSnapshot, exported: Int): List<ClassLine> = learning.classes.map { one ->
    ClassLine(
        slot = one.slot,
        name = one.name,
        examples = one.taught,
        kept = one.kept,
        isProvisional = one.isProvisional,
        isKnown = one.isKnown,
        accuracy = learning.measures.heldOut[one.slot]?.accuracy ?: Double.NaN,
        measured = learning.measures.heldOut[one.slot]?.samples ?: 0,
        canDelete = canDelete(one, exported),
    )
}

private fun canDelete(one: ClassExamples, exported: Int) =
    one.kept > 0 || one.heldOut > 0 || (one.isKnown && one.slot >= exported)

/** Return the line of a link; null: the phone is in no deployment. */
fun linkLineOf(link: LinkSnapshot?): LinkLine = when (link?.state) {
    null -> LinkLine.NotPaired
    LinkState.CONNECTED -> LinkLine.Connected(link.cloudIsOnline)
    LinkState.CONNECTING -> LinkLine.Connecting
    LinkState.DISCONNECTED -> LinkLine.Offline(link.sinceMillis, link.reason)
    LinkState.REFUSED -> LinkLine.Refused(link.reason)
    LinkState.WAITING -> waitingLine(link)
}

private fun waitingLine(link: LinkSnapshot): LinkLine = when (link.waitsFor) {
    Obstacle.NO_NETWORK -> LinkLine.WaitingForNetwork(link.sinceMillis)
    Obstacle.NOT_WIFI -> LinkLine.WaitingForWifi(link.sinceMillis)
    Obstacle.BUDGET_USED_UP -> LinkLine.BudgetUsedUp(link.sinceMillis, canBeEnough = true)
    Obstacle.BUDGET_TOO_SMALL -> LinkLine.BudgetUsedUp(link.sinceMillis, canBeEnough = false)
    null -> LinkLine.Offline(link.sinceMillis, link.reason)
}
