/** The camera's picture, what both exits take it for, teaching, curves and counters. */
package org.hiertk.demo.ui

import android.util.Size
import android.view.View
import android.view.ViewGroup
import android.widget.TextView
import org.hiertk.core.HierTkException
import org.hiertk.core.image.YuvFrame
import org.hiertk.demo.R

private val FRAME = Size(640, 480)
private const val LOW_STORAGE = 200_000_000L

class MainScreen(private val stage: Stage, parent: ViewGroup) : Screen {
    override val view: View = stage.activity.layoutInflater.inflate(R.layout.screen_main, parent, false)
    private val camera = CameraPanel(view, stage.cameraAccess, FRAME, ::take)
    private val answers = AnswerPanel(view, stage.words)
    private val teach = TeachPanel(view, stage)
    private val charts = ChartsPanel(view, stage.words)
    private val link: TextView = view.part(R.id.link)
    private val problems: TextView = view.part(R.id.problems)
    private val samples: TextView = view.part(R.id.counter_samples)
    private val steps: TextView = view.part(R.id.counter_steps)
    private val sent: TextView = view.part(R.id.counter_sent)
    private val spooled: TextView = view.part(R.id.counter_spooled)

    init {
        view.part<View>(R.id.to_classes).setOnClickListener { stage.go(Place.CLASSES) }
        view.part<View>(R.id.to_settings).setOnClickListener { stage.go(Place.SETTINGS) }
        link.setOnClickListener { stage.phone.device?.retryNow() }
    }

    override fun enter() = camera.enter()

    override fun leave() {
        camera.leave()
        stage.phone.device?.release()
    }

    override fun show() {
        val screen = stage.phone.device?.screen ?: return
        link.say(stage.words.link(screen.link))
        link.isClickable = screen.link.canRetry
        answers.show(screen.preview)
        teach.show(screen.teach, screen.classes.map { it.name })
        charts.show(screen.curves)
        val formats = stage.words.formats
        samples.say(formats.count(screen.counters.samples))
        steps.say(formats.count(screen.counters.steps))
        sent.say(stage.words.bytes(screen.counters.sentBytes))
        spooled.say(stage.words.bytes(screen.counters.spooledBytes))
        showProblems(screen.problems)
    }

    private fun showProblems(lines: List<String>) {
        val isLow = stage.phone.freeBytes < LOW_STORAGE
        val low = if (isLow) stage.activity.getString(R.string.storage_low, stage.words.bytes(LOW_STORAGE)) else ""
        val all = (listOf(low, stage.phone.complaint) + lines).filter { it.isNotEmpty() }
        problems.say(all.joinToString("\n"))
        problems.isThere(all.isNotEmpty())
    }

    /** In the camera's thread. */
    private fun take(frame: YuvFrame, rotation: Int) {
        try {
            stage.phone.device?.frame(frame, rotation)
        } catch (error: HierTkException) {
            stage.phone.complain(error.message.orEmpty())
        }
    }
}
