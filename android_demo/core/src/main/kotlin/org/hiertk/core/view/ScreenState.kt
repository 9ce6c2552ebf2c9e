/** Everything that the app shows, as one value: the screen draws it and decides nothing. */
package org.hiertk.core.view

import org.hiertk.core.learning.Exit
import org.hiertk.core.learning.Series
import org.hiertk.core.learning.Why

/** One exit's answer. confidence: a share of 1. isProvisional: the class waits for its slot in the cloud. */
data class ExitAnswer(val name: String, val confidence: Float, val isProvisional: Boolean)

/** The camera's preview. */
sealed class PreviewState {
    /** The engine is being opened. */
    object Starting : PreviewState()

    /** The engine could not be opened: why, in a line. */
    data class Failed(val line: String) : PreviewState()

    /** No frame was answered yet, or no class is known. */
    object NoAnswer : PreviewState()

    /** cloud: null where it gave none. shown: whose answer stands. detail: the cloud's own words, or empty. */
    data class Answered(
        val early: ExitAnswer,
        val cloud: ExitAnswer?,
        val shown: Exit,
        val why: Why,
        val detail: String,
    ) : PreviewState()
}

/** Teaching. */
sealed class TeachState {
    object Idle : TeachState()

    /** `count` of `of` images. */
    data class Capturing(val name: String, val count: Int, val of: Int) : TeachState()

    /** Images that can still be undone. */
    data class Captured(val name: String, val count: Int, val millisLeft: Long) : TeachState()

    /** images: that no step has taken yet. practice: steps on earlier images that follow. */
    data class Training(val images: Int, val practice: Int) : TeachState()

    /** By the user or a problem; images: that wait. */
    data class Paused(val images: Int) : TeachState()
}

/** A curve with the class that it is of. */
class ClassCurve(val slot: Int, val name: String, val series: Series)

/** Both charts. loss: of the early exit, nats. accuracies: shares of 1, on held-out images. */
class CurvesState(val loss: Series, val accuracies: List<ClassCurve>)

/** samples: images ever taught. sentBytes: in the newest 24 hours. budgetLeft: null without a budget. */
data class Counters(
    val samples: Long,
    val steps: Long,
    val sentBytes: Long,
    val spooledMessages: Int,
    val spooledBytes: Long,
    val budgetLeft: Long?,
)

/**
 * A line of the list of classes.
 *
 * examples: images ever taught of it. kept: in the rehearsal memory. isKnown: the early exit answers with it.
 * accuracy: a share of 1 on `measured` held-out images, NaN for none. canDelete: there is something of it to delete.
 */
data class ClassLine(
    val slot: Int,
    val name: String,
    val examples: Long,
    val kept: Int,
    val isProvisional: Boolean,
    val isKnown: Boolean,
    val accuracy: Double,
    val measured: Int,
    val canDelete: Boolean,
)

/** The link, in one line. Times are of the wall clock, milliseconds. */
sealed class LinkLine {
    /** The phone is in no deployment yet: the code is to be scanned. */
    object NotPaired : LinkLine()

    /** cloudIsThere: not the broker alone. */
    data class Connected(val cloudIsThere: Boolean) : LinkLine()
    object Connecting : LinkLine()

    /** why: in a few words. */
    data class Offline(val sinceMillis: Long, val why: String) : LinkLine()
    data class WaitingForNetwork(val sinceMillis: Long) : LinkLine()
    data class WaitingForWifi(val sinceMillis: Long) : LinkLine()

    /** canBeEnough: false where a single message is larger than the budget. */
    data class BudgetUsedUp(val sinceMillis: Long, val canBeEnough: Boolean) : LinkLine()

    /** By the broker; why: and what to do. */
    data class Refused(val why: String) : LinkLine()

    /** Whether everything but the cloud's answer goes on alone. */
    val isOffline: Boolean get() = this !is Connected || !cloudIsThere

    /** Whether trying at once may help: what is waited for is on the other side. */
    val canRetry: Boolean get() = this is Offline || this is Refused
}

/** The whole screen at one moment; never changes. problems: a line each. */
class ScreenState(
    val preview: PreviewState,
    val teach: TeachState,
    val curves: CurvesState,
    val counters: Counters,
    val classes: List<ClassLine>,
    val link: LinkLine,
    val problems: List<String>,
)
