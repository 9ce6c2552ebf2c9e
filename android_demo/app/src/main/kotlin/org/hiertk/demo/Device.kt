/** This phone as a device of a deployment: everything that learns, remembers and sends, put together. */
package org.hiertk.demo

import android.os.Process
import org.hiertk.core.HierTkException
import org.hiertk.core.bundle.Bundle
import org.hiertk.core.classes.DeviceClasses
import org.hiertk.core.classes.ExportedClasses
import org.hiertk.core.golden.GoldenSteps
import org.hiertk.core.image.FrameScaler
import org.hiertk.core.image.YuvFrame
import org.hiertk.core.learning.Checkpoints
import org.hiertk.core.learning.EdgeLearner
import org.hiertk.core.learning.LearningLoop
import org.hiertk.core.learning.LearningParts
import org.hiertk.core.learning.LearningSettings
import org.hiertk.core.learning.LearningState
import org.hiertk.core.learning.Outbox
import org.hiertk.core.learning.Prediction
import org.hiertk.core.learning.Predictor
import org.hiertk.core.learning.deviceStatus
import org.hiertk.core.learning.mixFor
import org.hiertk.core.link.ClassLink
import org.hiertk.core.link.LinkLimits
import org.hiertk.core.link.NetworkKind
import org.hiertk.core.link.Session
import org.hiertk.core.link.SessionSettings
import org.hiertk.core.messages.BatchEncoder
import org.hiertk.core.messages.ClassContract
import org.hiertk.core.messages.MAX_MESSAGE_BYTES
import org.hiertk.core.pairing.Pairing
import org.hiertk.core.rehearsal.RehearsalMemory
import org.hiertk.core.rehearsal.exportedImages
import org.hiertk.core.spool.Spool
import org.hiertk.core.view.Capture
import org.hiertk.core.view.CapturedImages
import org.hiertk.core.view.Parts
import org.hiertk.core.view.ScreenState
import org.hiertk.core.view.screenOf
import org.hiertk.core.writeAtomically
import org.hiertk.demo.engine.openLearner
import org.hiertk.demo.store.StateFolder
import java.nio.file.Files
import java.nio.file.Path

private const val REHEARSAL_BYTES = 64L shl 20
private const val SPOOL_BYTES = 64L shl 20
private const val MOST_THREADS = 4
private const val FRAME_MILLIS = 90L

// Messages name their device, so what is made before there is one can be sent by nobody: a little is kept for the
// counters. The images themselves stay in the rehearsal memory.
private const val NOBODY = "unpaired"
private const val NOBODYS_SPOOL_BYTES = 1L shl 20

/**
 * Throws any HierTkException. changed: there is something new to show; is called in threads of core and
 * must return at once. pairing: null: the phone learns for itself.
 */
class Device(
    val bundle: Bundle,
    folder: StateFolder,
    val pairing: Pairing?,
    limits: LinkLimits,
    network: NetworkKind,
    private val changed: () -> Unit,
) : AutoCloseable {
    private val manifest = bundle.manifest
    private val name = pairing?.device ?: NOBODY
    private val classes = DeviceClasses.open(folder.classes, ExportedClasses(manifest))
    private val opened = ArrayList<AutoCloseable>()
    private val memory = opening {
        RehearsalMemory.open(folder.rehearsal, manifest.input.values, REHEARSAL_BYTES, classes) { exportedImages(bundle) }
    }
    private val spool = opening {
        Spool.open(folder.spool(name), if (pairing == null) NOBODYS_SPOOL_BYTES else SPOOL_BYTES)
    }
    private val session: Session? = pairing?.let { opening { openSession(it, folder, limits, network) } }
    private val predictor = Predictor(publish = ::show)
    private val loop: LearningLoop = opening { openLoop(folder) }
    private val scaler = FrameScaler(manifest.input.size)
    private val pixels = ByteArray(manifest.input.values)
    private var frames = 0L
    private var frameAt = 0L

    @Volatile private var prediction: Prediction? = null

    /** The capture button's state. */
    val capture = Capture()

    init {
        if (session != null) predictor.help = helpOf(session, manifest)
        loop.start()
        session?.start()
    }

    /** Everything that the app shows, now. */
    val screen: ScreenState
        get() = screenOf(
            Parts(loop.snapshot, loop.failure?.message, prediction, capture.state, session?.snapshot),
            exported = manifest.classes.names.size,
        )

    /** Whether there are images to learn. */
    val isLearning: Boolean get() = loop.snapshot?.state == LearningState.TRAINING

    /** Whether features wait that the link could send now. */
    val isSending: Boolean get() = session?.snapshot?.let { it.cloudIsOnline && it.spooled > 0 } ?: false

    /** Take a camera frame; rotation: degrees clockwise until it is upright. In the camera's thread alone. */
    fun frame(frame: YuvFrame, rotation: Int) {
        val now = System.nanoTime() / 1_000_000
        if (now - frameAt < FRAME_MILLIS) return // so many a second are enough to see and to learn from
        frameAt = now
        scaler.scale(frame, rotation, pixels)
        capture.frame(pixels)
        loop.show(++frames, pixels)
    }

    /** Begin to capture. Throws ProtocolException for an unusable name, ConfigException if too much waits. */
    fun press(name: String) {
        capture.press(name)?.let(::teach)
        changed()
    }

    /** The capture button was let go. */
    fun release() {
        capture.release()
        changed()
    }

    /** Throw away what was captured last. */
    fun undo() {
        capture.undo()
        changed()
    }

    /** Learn what can be undone no more. Throws ConfigException if too much waits. */
    fun teachWhatIsDue() {
        capture.due()?.let(::teach)
    }

    /** The app is sent away: learn what was captured, and keep what was learned. Throws ConfigException. */
    fun settle() {
        capture.flush()?.let(::teach)
        loop.save()
    }

    /** Delete the images of a class. Throws ConfigException. */
    fun forget(slot: Int) = loop.forget(slot)

    /** Set what the link may take. */
    fun limit(limits: LinkLimits) {
        session?.limit(limits)
    }

    /** Tell what the phone is connected to. */
    fun network(kind: NetworkKind) {
        session?.network(kind)
    }

    /** Try to connect now. */
    fun retryNow() {
        session?.retryNow()
    }

    /** Stop, with a last checkpoint; takes seconds. Throws StorageException when all is stopped. */
    override fun close() {
        var failure: HierTkException? = null
        for (part in opened.asReversed()) {
            try {
                part.close()
            } catch (error: HierTkException) {
                failure = error // the others are closed all the same
            }
        }
        failure?.let { throw it }
    }

    /** Open a part; if it cannot be, leave none of the others open. */
    private fun <T : AutoCloseable> opening(open: () -> T): T = try {
        open().also { opened.add(it) }
    } catch (error: HierTkException) {
        close()
        throw error
    }

    private fun teach(images: CapturedImages) = loop.teach(images.name, images.images)

    private fun openLoop(folder: StateFolder) = LearningLoop(
        learningParts(folder),
        LearningSettings(mixFor(manifest)),
        predictor,
        changed = ::learned,
        onThread = { Process.setThreadPriority(Process.THREAD_PRIORITY_LESS_FAVORABLE) },
    )

    private fun learningParts(folder: StateFolder) = LearningParts(
        manifest,
        openEngine = { checkpoint -> openEngine(folder, checkpoint) },
        Checkpoints(folder.checkpoints),
        classes,
        memory,
        Outbox(BatchEncoder(manifest, name), spool, { session?.maxMessageBytes ?: MAX_MESSAGE_BYTES }) { session?.wake() },
    )

    /** Open the engine; at the first time, prove on this phone that it does what the reference does. */
    private fun openEngine(folder: StateFolder, checkpoint: Path?): EdgeLearner {
        if (!Files.exists(folder.proved)) {
            openLearner(bundle, null, threads()).use(GoldenSteps(bundle)::verify)
            writeAtomically(folder.proved, manifest.engine.version.toByteArray())
        }
        return openLearner(bundle, checkpoint, threads())
    }

    private fun openSession(pairing: Pairing, folder: StateFolder, limits: LinkLimits, network: NetworkKind) = Session(
        SessionSettings(manifest.deployment, pairing.device, folder.budget),
        transportTo(pairing),
        spool,
        ClassLink(ClassContract(manifest), { classes.provisional }, { loop.handClassMap(it) }, classes::ignore),
        limits,
        network,
        changed,
    )

    private fun learned() {
        loop.snapshot?.let { session?.report(it.deviceStatus(manifest.features.bits)) }
        changed()
    }

    private fun show(newest: Prediction) {
        prediction = newest
        changed()
    }

    private fun threads() = (Runtime.getRuntime().availableProcessors() / 2).coerceIn(1, MOST_THREADS)
}
