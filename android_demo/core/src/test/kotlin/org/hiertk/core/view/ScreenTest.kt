package org.hiertk.core.view

import org.hiertk.core.learning.ClassExamples
import org.hiertk.core.learning.Exit
import org.hiertk.core.learning.HeldOutClass
import org.hiertk.core.learning.KnownClass
import org.hiertk.core.learning.LearningSnapshot
import org.hiertk.core.learning.LearningState
import org.hiertk.core.learning.Measures
import org.hiertk.core.learning.Prediction
import org.hiertk.core.learning.PredictionCounts
import org.hiertk.core.learning.Score
import org.hiertk.core.learning.Scores
import org.hiertk.core.learning.Series
import org.hiertk.core.learning.Why
import org.hiertk.core.link.LinkSnapshot
import org.hiertk.core.link.LinkState
import org.hiertk.core.link.Obstacle
import org.junit.jupiter.api.Test
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertTrue

class ScreenTest {
    private val red = KnownClass(0, "red", false)
    private val mug = KnownClass(7, "mug", true)
    private val early = Scores(listOf(Score(mug, 0.55f), Score(red, 0.45f)))
    private val cloud = Scores(listOf(Score(red, 0.9f)))

    @Test
    fun `before the engine is open the preview is starting, and nothing else is known`() {
        val screen = screenOf(Parts(null, null, null, CaptureState.Idle, null), exported = 1)
        assertEquals(PreviewState.Starting, screen.preview)
        assertEquals(TeachState.Idle, screen.teach)
        assertEquals(Counters(0, 0, 0, 0, 0, null), screen.counters)
        assertEquals(LinkLine.NotPaired, screen.link)
        assertTrue(screen.link.isOffline && screen.classes.isEmpty() && screen.problems.isEmpty())
    }

    @Test
    fun `an engine that cannot be opened is the preview's line and a problem`() {
        val screen = screenOf(Parts(null, "no engine", null, CaptureState.Idle, null), exported = 1)
        assertEquals(PreviewState.Failed("no engine"), screen.preview)
        assertEquals(listOf("no engine"), screen.problems)
    }

    @Test
    fun `both exits are shown, and which of them stands`() {
        val prediction = Prediction(1, early, cloud, Exit.FINAL, Why.CLOUD_ANSWERED, 12, 40)
        val preview = assertIs<PreviewState.Answered>(screen(prediction = prediction).preview)
        assertEquals(ExitAnswer("mug", 0.55f, isProvisional = true), preview.early)
        assertEquals(ExitAnswer("red", 0.9f, isProvisional = false), preview.cloud)
        assertEquals(Exit.FINAL, preview.shown)
    }

    @Test
    fun `without a link the early exit stands and the reason is there`() {
        val prediction = Prediction(1, early, null, Exit.EARLY, Why.NO_LINK, 12)
        val screen = screen(prediction = prediction, link = LinkSnapshot(LinkState.DISCONNECTED, reason = "no route", sinceMillis = 5))
        val preview = assertIs<PreviewState.Answered>(screen.preview)
        assertEquals(Exit.EARLY to Why.NO_LINK, preview.shown to preview.why)
        assertEquals(LinkLine.Offline(5, "no route"), screen.link)
    }

    @Test
    fun `capturing is shown before training, training before waiting`() {
        val capturing = CaptureState.Capturing("pen", 3, 20)
        assertEquals(TeachState.Capturing("pen", 3, 20), screen(LearningState.TRAINING, capturing).teach)
        assertEquals(TeachState.Captured("pen", 20, 900), screen(LearningState.TRAINING, CaptureState.Captured("pen", 20, 900)).teach)
        assertEquals(TeachState.Training(images = 14, practice = 6), screen(LearningState.TRAINING).teach)
        assertEquals(TeachState.Paused(14), screen(LearningState.PAUSED).teach)
        assertEquals(TeachState.Idle, screen(LearningState.WAITING).teach)
    }

    @Test
    fun `classes are told with their examples, and those that can be deleted`() {
        val lines = screen().classes
        assertEquals(listOf("red", "mug", "pen"), lines.map { it.name })
        assertEquals(listOf(false, true, true), lines.map { it.canDelete })
        assertEquals(listOf(0L, 18L, 0L), lines.map { it.examples })
        assertEquals(listOf(0, 18, 0), lines.map { it.kept })
        assertEquals(0.5 to 2, lines[1].accuracy to lines[1].measured)
        assertTrue(lines[0].accuracy.isNaN() && lines[1].isProvisional)
    }

    @Test
    fun `counters are the learning part's and the link's`() {
        val link = LinkSnapshot(LinkState.CONNECTED, cloudIsOnline = true, dayBytes = 900, budgetLeft = 100, spooled = 3, spooledBytes = 77)
        assertEquals(Counters(18, 12, 900, 3, 77, 100), screen(link = link).counters)
        assertFalse(screen(link = link).link.isOffline)
        assertTrue(screen(link = link.copy(cloudIsOnline = false)).link.isOffline)
    }

    @Test
    fun `each thing that the link waits for has its own line`() {
        fun line(obstacle: Obstacle) = linkLineOf(LinkSnapshot(LinkState.WAITING, obstacle, "why", 9))
        assertEquals(LinkLine.WaitingForNetwork(9), line(Obstacle.NO_NETWORK))
        assertEquals(LinkLine.WaitingForWifi(9), line(Obstacle.NOT_WIFI))
        assertEquals(LinkLine.BudgetUsedUp(9, canBeEnough = true), line(Obstacle.BUDGET_USED_UP))
        assertEquals(LinkLine.BudgetUsedUp(9, canBeEnough = false), line(Obstacle.BUDGET_TOO_SMALL))
        assertEquals(LinkLine.Refused("bad password"), linkLineOf(LinkSnapshot(LinkState.REFUSED, reason = "bad password")))
        assertEquals(LinkLine.Connecting, linkLineOf(LinkSnapshot(LinkState.CONNECTING)))
    }

    @Test
    fun `trying at once helps against the other side's faults alone`() {
        fun canRetry(state: LinkState, obstacle: Obstacle? = null) = linkLineOf(LinkSnapshot(state, obstacle)).canRetry
        assertTrue(canRetry(LinkState.DISCONNECTED) && canRetry(LinkState.REFUSED))
        assertFalse(canRetry(LinkState.CONNECTED) || canRetry(LinkState.WAITING, Obstacle.NO_NETWORK))
    }

    @Test
    fun `curves carry the names of their classes, and problems of all parts are told once`() {
        val screen = screen(link = LinkSnapshot(LinkState.REFUSED, problems = listOf("a", "b")))
        assertEquals(listOf("mug"), screen.curves.accuracies.map { it.name })
        assertEquals(1, screen.curves.loss.size)
        assertEquals(listOf("a", "b"), screen.problems)
    }

    private fun screen(
        state: LearningState = LearningState.WAITING,
        capture: CaptureState = CaptureState.Idle,
        prediction: Prediction? = null,
        link: LinkSnapshot? = null,
    ) = screenOf(Parts(learning(state), null, prediction, capture, link), exported = 1)

    private fun learning(state: LearningState): LearningSnapshot {
        val curve = Series(doubleArrayOf(1.0), doubleArrayOf(0.5))
        val measures = Measures(0.5, 0.8, 12.0, mapOf(7 to HeldOutClass(1, 2)), curve, mapOf(7 to curve))
        val classes = listOf(
            ClassExamples(0, "red", isProvisional = false, isKnown = true, taught = 0, kept = 0, heldOut = 0),
            ClassExamples(7, "mug", isProvisional = true, isKnown = true, taught = 18, kept = 18, heldOut = 2),
            ClassExamples(6, "pen", isProvisional = true, isKnown = true, taught = 0, kept = 0, heldOut = 0),
        )
        return LearningSnapshot(state, 12, measures, 14, 6, 18, 18, classes, PredictionCounts(0, 0), 1, listOf("a"), isSettled = true)
    }
}
