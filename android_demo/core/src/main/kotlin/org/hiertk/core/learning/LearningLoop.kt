/** The one background thread that owns the learner: it trains, and answers the preview between two steps. */
package org.hiertk.core.learning

import org.hiertk.core.ConfigException
import org.hiertk.core.HierTkException
import org.hiertk.core.classes.ClassMap
import kotlin.math.max
import kotlin.math.min

private const val IDLE_MILLIS = 1_000L
private const val PUBLISH_MILLIS = 100L
private const val LONGEST_RETRY_MILLIS = 60_000L

/**
 * Any thread may call. Nothing but this loop touches the learner, so nothing takes turns with a lock:
 * a prediction waits for one step at most.
 *
 * An error of the engine or the disk pauses learning and is told in a line; it is tried again after
 * retryMillis and then ever longer times. Predictions go on. changed: there is another snapshot; is
 * called in the learning thread and must return at once. onThread: is called in it first.
 */
class LearningLoop(
    private val parts: LearningParts,
    private val settings: LearningSettings,
    private val predictor: Predictor,
    private val changed: () -> Unit = {},
    private val onThread: () -> Unit = {},
    private val retryMillis: Long = 10_000,
) : AutoCloseable {
    private val rawBytes = parts.manifest.input.values
    private val inbox = LearningInbox(rawBytes)
    private val problems = Problems()
    private val thread = Thread(::run, "learning")

    // Of the learning thread alone.
    private var isPaused = false
    private var notBefore = System.nanoTime()
    private var delayMillis = retryMillis
    private var comingMap: ClassMap? = null
    private var publishedAt = 0L

    /** What is going on; null until the engine was opened or has failed to open. */
    @Volatile
    var snapshot: LearningSnapshot? = null
        private set

    /** Why the engine could not be opened; null as long as it may yet be, or is. */
    @Volatile
    var failure: HierTkException? = null
        private set

    /** Begin. */
    fun start() = thread.start()

    /** Ask for a prediction for a frame, 8-bit RGB (size, size, 3); the newest one wins, older ones get none. */
    fun show(frame: Long, pixels: ByteArray) = inbox.show(frame, pixels)

    /** Learn images of a class, each 8-bit RGB (size, size, 3), which are the loop's own from now on. Throws ConfigException. */
    fun teach(name: String, images: List<ByteArray>) {
        if (images.any { it.size != rawBytes }) throw ConfigException("an image is not of $rawBytes bytes: scale it first")
        order(Order.Teach(name, images))
    }

    /** Delete a class's images; one that the bundle did not have is predicted no more until it is taught again. Throws ConfigException. */
    fun forget(slot: Int) = order(Order.Forget(slot))

    /** Train no more until `resume`; predictions go on. */
    fun pause() = order(Order.Pause(true))

    /** Go on training, also after a problem. */
    fun resume() = order(Order.Pause(false))

    /** Write a checkpoint soon: the app is about to be sent away. */
    fun save() = order(Order.Save)

    /** Put a class map in place soon, and tell so in `snapshot`; the newest one wins. */
    fun handClassMap(map: ClassMap) = inbox.putMap(map)

    /** Stop within one step, write a checkpoint, and close the learner. */
    override fun close() {
        inbox.stop()
        if (thread.state != Thread.State.NEW) thread.join()
    }

    private fun order(order: Order) {
        if (!inbox.put(order)) throw ConfigException("too much waits to be learned: wait a moment, and do it again")
    }

    private fun run() {
        onThread()
        val learning = open() ?: return
        learning.use {
            publish(learning)
            while (!inbox.stopped) turn(learning)
            told("checkpoint") { learning.save() }
            publish(learning, LearningState.STOPPED)
        }
    }

    private fun open(): Learning? = try {
        Learning(parts, settings)
    } catch (error: HierTkException) {
        failure = error
        changed()
        null
    }

    private fun turn(learning: Learning) {
        val predicted = predict(learning)
        val obeyed = obey(learning)
        val learned = isTimeToTry() && attempt { followMap(learning) || (!isPaused && learning.work()) }
        if (predicted || obeyed || learned) {
            if (System.nanoTime() - publishedAt >= PUBLISH_MILLIS * 1_000_000) publish(learning)
        } else {
            publish(learning)
            inbox.await(millisToWait())
        }
    }

    private fun predict(learning: Learning): Boolean {
        val frame = inbox.takeFrame() ?: return false
        try {
            learning.predict(frame)?.let(predictor::take)
            problems.end("prediction")
        } catch (error: HierTkException) {
            problems.begin("prediction", error.message.orEmpty())
        }
        return true
    }

    private fun obey(learning: Learning): Boolean {
        val order = inbox.takeOrder() ?: return false
        when (order) {
            is Order.Teach -> told("teaching") { learning.teach(order.name, order.images) }
            is Order.Forget -> told("deleting") { learning.forget(order.slot) }
            is Order.Save -> told("checkpoint") { learning.save() }
            is Order.Pause -> pause(learning, order.isPaused)
        }
        return true
    }

    private fun pause(learning: Learning, isPaused: Boolean) {
        this.isPaused = isPaused
        if (isPaused) told("checkpoint") { learning.save() } else notBefore = System.nanoTime()
    }

    private fun followMap(learning: Learning): Boolean {
        val map = inbox.takeMap() ?: comingMap ?: return false
        comingMap = map // until it is in place: the disk may refuse
        learning.follow(map)
        comingMap = null
        return true
    }

    private fun isTimeToTry() = notBefore - System.nanoTime() <= 0

    /** Do what the user asked for once; what goes wrong is told until the next time goes well. */
    private fun told(part: String, what: () -> Unit) {
        try {
            what()
            problems.end(part)
        } catch (error: HierTkException) {
            problems.begin(part, error.message.orEmpty())
        }
    }

    /** Do some learning, and pause it if that fails; return whether there was anything to do. */
    private fun attempt(what: () -> Boolean): Boolean = try {
        val hasWorked = what()
        problems.end("learning")
        delayMillis = retryMillis
        hasWorked
    } catch (error: HierTkException) {
        problems.begin("learning", error.message.orEmpty())
        notBefore = System.nanoTime() + delayMillis * 1_000_000
        delayMillis = min(2 * delayMillis, LONGEST_RETRY_MILLIS)
        false
    }

    private fun millisToWait(): Long {
        val left = (notBefore - System.nanoTime()) / 1_000_000 + 1
        return if (left > 0) min(max(left, 1), IDLE_MILLIS) else IDLE_MILLIS
    }

    private fun publish(learning: Learning, state: LearningState = stateOf(learning)) {
        publishedAt = System.nanoTime()
        snapshot = learning.snapshot(state, predictor.counts, problems.all + parts.classes.problems)
        changed()
    }

    private fun stateOf(learning: Learning) = when {
        isPaused || !isTimeToTry() -> LearningState.PAUSED
        learning.hasLessons -> LearningState.TRAINING
        else -> LearningState.WAITING
    }
}
