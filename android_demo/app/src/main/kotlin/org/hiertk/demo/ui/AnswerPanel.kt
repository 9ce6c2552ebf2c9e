/** What both exits take the picture for, and which of them counts. */
package org.hiertk.demo.ui

import android.graphics.Typeface
import android.view.View
import android.widget.ProgressBar
import android.widget.TextView
import org.hiertk.core.learning.Exit
import org.hiertk.core.view.ExitAnswer
import org.hiertk.core.view.PreviewState
import org.hiertk.demo.R

private const val PERCENT = 100

/** root: a view with panel_answers.xml inside. */
class AnswerPanel(private val root: View, private val words: Words) {
    private val seen: TextView = root.part(R.id.seen)
    private val early: TextView = root.part(R.id.early)
    private val cloud: TextView = root.part(R.id.cloud)
    private val confidence: ProgressBar = root.part(R.id.confidence)
    private val why: TextView = root.part(R.id.why)

    /** Show a prediction, or why there is none. */
    fun show(preview: PreviewState): Unit = when (preview) {
        is PreviewState.Answered -> showAnswers(preview)
        is PreviewState.Starting -> showNone(root.resources.getString(R.string.teach_starting))
        is PreviewState.Failed -> showNone(preview.line)
        is PreviewState.NoAnswer -> showNone("")
    }

    private fun showAnswers(answered: PreviewState.Answered) {
        val isFinal = answered.shown == Exit.FINAL
        val shown = answered.cloud.takeIf { isFinal } ?: answered.early
        seen.say(root.resources.getString(R.string.shown_label, shown.name))
        early.say(words.answer(answered.early))
        cloud.say(words.cloud(answered))
        emphasize(early, !isFinal)
        emphasize(cloud, isFinal)
        showConfidence(answered.early)
        showWhy(words.why(answered.why, answered.detail))
    }

    private fun showConfidence(answer: ExitAnswer) {
        confidence.progress = (PERCENT * answer.confidence).toInt()
    }

    private fun showNone(line: String) {
        val none = root.resources.getString(R.string.no_answer_yet)
        seen.say(none)
        early.say(none)
        cloud.say(none)
        emphasize(early, false)
        emphasize(cloud, false)
        confidence.progress = 0
        showWhy(line)
    }

    private fun showWhy(line: String) {
        why.say(line)
        why.isThere(line.isNotEmpty())
    }

    /** By weight and a mark, not by colour alone; a screen reader says it, too. */
    private fun emphasize(answer: TextView, counts: Boolean) {
        if (answer.isSelected == counts) return
        answer.isSelected = counts
        answer.setTypeface(null, if (counts) Typeface.BOLD else Typeface.NORMAL)
        answer.setCompoundDrawablesRelativeWithIntrinsicBounds(if (counts) R.drawable.counts else 0, 0, 0, 0)
    }
}
