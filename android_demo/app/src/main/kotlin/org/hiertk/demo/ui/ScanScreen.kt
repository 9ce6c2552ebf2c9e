/** Reads the pairing code with the camera. */
package org.hiertk.demo.ui

import android.util.Size
import android.view.View
import android.view.ViewGroup
import android.widget.TextView
import org.hiertk.core.image.YuvFrame
import org.hiertk.demo.R
import org.hiertk.demo.camera.QrReader
import java.util.concurrent.atomic.AtomicReference

// A pairing code has about 90 modules a side, which want some pixels each.
private val FRAME = Size(1280, 720)

class ScanScreen(private val stage: Stage, parent: ViewGroup) : Screen {
    override val view: View = stage.activity.layoutInflater.inflate(R.layout.screen_scan, parent, false)
    private val camera = CameraPanel(view, stage.cameraAccess, FRAME) { frame, _ -> look(frame) }
    private val complaint: TextView = view.part(R.id.complaint)
    private val reader = QrReader()
    private val last = AtomicReference("")

    init {
        view.part<View>(R.id.back).setOnClickListener { stage.go(Place.SETTINGS) }
    }

    override fun enter() = camera.enter()

    override fun leave() = camera.leave()

    override fun show() {
        complaint.say(stage.phone.complaint)
        complaint.isThere(stage.phone.complaint.isNotEmpty())
    }

    /** In the camera's thread; the same code again is no news. */
    private fun look(frame: YuvFrame) {
        val text = reader.read(frame) ?: return
        if (last.getAndSet(text) != text) view.post { pair(text) }
    }

    private fun pair(code: String) {
        stage.phone.trying { stage.phone.pair(code) }
        if (stage.phone.complaint.isEmpty()) stage.go(Place.SETTINGS) else show()
    }
}
