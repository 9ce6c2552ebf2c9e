/** Capturing images of a class: hold to capture, let go early and keep what is there, undo. */
package org.hiertk.core.view

import org.hiertk.core.ProtocolException
import org.hiertk.core.classes.cleanClassName

/** What capturing does now. */
sealed class CaptureState {
    /** Nothing. */
    object Idle : CaptureState()

    /** Frames are being captured: `count` of `of`. */
    data class Capturing(val name: String, val count: Int, val of: Int) : CaptureState()

    /** Images were captured and can still be undone, until `millisLeft` are over. */
    data class Captured(val name: String, val count: Int, val millisLeft: Long) : CaptureState()
}

/** Images of one class that are to be learned. */
class CapturedImages(val name: String, val images: List<ByteArray>)

/**
 * The capture button; any thread may call.
 *
 * What was learned cannot be unlearned, so captured images wait for undoMillis before they are given
 * to learning: `due` gives them. of: images of one capture. millis: any clock that never goes back.
 */
class Capture(
    private val of: Int = 20,
    private val undoMillis: Long = 5_000,
    private val millis: () -> Long = { System.nanoTime() / 1_000_000 },
) {
    private var name = ""
    private val images = ArrayList<ByteArray>()
    private var isHeld = false
    private var endedAt = 0L

    /** What capturing does now. */
    val state: CaptureState
        @Synchronized get() = when {
            isHeld -> CaptureState.Capturing(name, images.size, of)
            images.isEmpty() -> CaptureState.Idle
            else -> CaptureState.Captured(name, images.size, maxOf(0, endedAt + undoMillis - millis()))
        }

    /**
     * Begin a capture under a name, which is cleaned; an earlier one can be undone no more.
     *
     * Returns the images of the earlier one if they are still to be learned. Throws ProtocolException
     * for an unusable name: then nothing begins.
     */
    @Synchronized
    fun press(name: String): CapturedImages? {
        val clean = cleanClassName(name)
        val earlier = take()
        this.name = clean
        isHeld = true
        return earlier
    }

    /** Take a frame's pixels, which are copied; does nothing unless a capture is going on. */
    @Synchronized
    fun frame(pixels: ByteArray) {
        if (!isHeld) return
        images.add(pixels.copyOf())
        if (images.size == of) end()
    }

    /** The button was let go: what there is stays. */
    @Synchronized
    fun release() {
        if (isHeld) end()
    }

    /** Throw away what was captured last, as far as it has not been given to learning; return how many. */
    @Synchronized
    fun undo(): Int {
        val count = images.size
        images.clear()
        isHeld = false
        return count
    }

    /** Return what is to be learned now, once; null if there is nothing, or it can still be undone. */
    @Synchronized
    fun due(): CapturedImages? =
        if (!isHeld && images.isNotEmpty() && millis() - endedAt >= undoMillis) take() else null

    /** Return what is still to be learned, whatever can be undone: the app is about to be sent away. */
    @Synchronized
    fun flush(): CapturedImages? {
        isHeld = false
        return take()
    }

    private fun end() {
        isHeld = false
        endedAt = millis()
    }

    private fun take(): CapturedImages? {
        if (images.isEmpty()) return null
        val taken = CapturedImages(name, ArrayList(images))
        images.clear()
        return taken
    }
}

/** What a typed name is. */
sealed class NameCheck {
    /** It can be taken: as `name`; isNew: no class has it yet. */
    data class Usable(val name: String, val isNew: Boolean) : NameCheck()

    /** Nothing was typed yet. */
    object Empty : NameCheck()

    /** It cannot be a name: why, in a line. */
    data class Unusable(val line: String) : NameCheck()
}

/** Check a name as it is typed; known: the names of all classes. */
fun checkName(typed: String, known: Collection<String>): NameCheck {
    if (typed.isBlank()) return NameCheck.Empty
    return try {
        cleanClassName(typed).let { NameCheck.Usable(it, it !in known) }
    } catch (error: ProtocolException) {
        NameCheck.Unusable(error.message.orEmpty())
    }
}
