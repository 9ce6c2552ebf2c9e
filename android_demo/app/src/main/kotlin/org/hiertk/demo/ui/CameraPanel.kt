/** The camera's picture, or why there is none and what to do. */
package org.hiertk.demo.ui

import android.util.Size
import android.view.View
import android.widget.Button
import android.widget.TextView
import org.hiertk.core.image.YuvFrame
import org.hiertk.demo.R
import org.hiertk.demo.camera.CameraView

/** root: a view with panel_camera.xml inside. frame: as of CameraView. */
class CameraPanel(
    root: View,
    private val access: CameraAccess,
    private val size: Size,
    private val frame: (YuvFrame, Int) -> Unit,
) {
    private val camera: CameraView = root.part(R.id.camera)
    private val explanation: View = root.part(R.id.camera_explanation)
    private val words: TextView = root.part(R.id.camera_words)
    private val button: Button = root.part(R.id.camera_button)
    private var hasFailed = false
    private var isRunning = false

    init {
        button.setOnClickListener {
            if (hasFailed) enter() else access.ask()
        }
    }

    /** Begin, if the user allows it. */
    fun enter() {
        hasFailed = false
        show()
        if (access.now == Access.GRANTED && !isRunning) {
            isRunning = true
            camera.begin(size, frame, ::failed)
        }
    }

    /** Let go of the camera. */
    fun leave() {
        isRunning = false
        camera.end()
    }

    private fun failed() {
        leave()
        hasFailed = true
        show()
    }

    private fun show() {
        val access = access.now
        explanation.isThere(access != Access.GRANTED || hasFailed)
        val (text, choice) = when {
            access == Access.ASK -> R.string.camera_needed to R.string.camera_allow
            access == Access.REFUSED -> R.string.camera_refused to R.string.camera_settings
            else -> R.string.camera_failed to R.string.try_again
        }
        words.setText(text)
        button.setText(choice)
    }
}
