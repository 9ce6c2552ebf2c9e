/** First start, and whenever there is no device to show: a bundle is chosen, or one is being opened. */
package org.hiertk.demo.ui

import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.TextView
import org.hiertk.demo.PhoneState
import org.hiertk.demo.R

class StartScreen(private val stage: Stage, parent: ViewGroup) : Screen {
    override val view: View = stage.activity.layoutInflater.inflate(R.layout.screen_start, parent, false)
    private val title: TextView = view.part(R.id.start_title)
    private val text: TextView = view.part(R.id.start_text)
    private val complaint: TextView = view.part(R.id.complaint)
    private val progress: View = view.part(R.id.start_progress)
    private val choose: Button = view.part(R.id.start_choose)
    private val again: Button = view.part(R.id.start_again)

    init {
        choose.setOnClickListener { stage.chooseBundle() }
        again.setOnClickListener { stage.phone.open() }
    }

    override fun show() {
        val state = stage.phone.state
        val isOpening = state is PhoneState.Opening
        progress.isThere(isOpening)
        choose.isThere(!isOpening)
        again.isThere(state is PhoneState.Failed)
        title.say(stage.activity.getString(if (state is PhoneState.Failed) R.string.start_failed else titleOf(isOpening)))
        text.say(if (state is PhoneState.Failed) state.line else stage.activity.getString(R.string.start_text))
        text.isThere(!isOpening)
        complaint.say(stage.phone.complaint)
        complaint.isThere(stage.phone.complaint.isNotEmpty())
    }

    private fun titleOf(isOpening: Boolean) = if (isOpening) R.string.start_opening else R.string.start_title
}
