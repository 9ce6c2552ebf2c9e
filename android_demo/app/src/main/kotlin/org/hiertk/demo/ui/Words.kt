/** Says states in the user's language: all texts are resources. */
package org.hiertk.demo.ui

import android.content.Context
import android.text.format.DateUtils
import org.hiertk.core.learning.Why
import org.hiertk.core.view.ByteUnit
import org.hiertk.core.view.ExitAnswer
import org.hiertk.core.view.Formats
import org.hiertk.core.view.LinkLine
import org.hiertk.core.view.PreviewState
import org.hiertk.core.view.TeachState
import org.hiertk.demo.R

/** For one language; main thread. */
class Words(private val context: Context) {
    /** Numbers of this language. */
    val formats = Formats(context.resources.configuration.locales[0])

    /** An amount of data with its unit. */
    fun bytes(bytes: Long): String {
        val amount = formats.bytes(bytes)
        val unit = when (amount.unit) {
            ByteUnit.BYTES -> R.string.amount_bytes
            ByteUnit.KB -> R.string.amount_kb
            ByteUnit.MB -> R.string.amount_mb
            ByteUnit.GB -> R.string.amount_gb
        }
        return context.getString(unit, amount.number)
    }

    /** An exit's class and confidence. */
    fun answer(answer: ExitAnswer): String =
        context.getString(R.string.score, answer.name, formats.percent(answer.confidence.toDouble()))

    /** The cloud's answer, or what is instead of it. */
    fun cloud(answered: PreviewState.Answered): String = answered.cloud?.let(::answer) ?: context.getString(
        when (answered.why) {
            Why.SURE, Why.CLOUD_IS_OFF, Why.CLASS_IS_NEW, Why.NO_LINK -> R.string.not_asked
            Why.NO_ANSWER, Why.REFUSED -> R.string.no_answer
            Why.ASKING, Why.CLOUD_ANSWERED -> R.string.no_answer_yet
        }
    )

    /** Why that exit counts. detail: the cloud's own words. */
    fun why(why: Why, detail: String): String = when (why) {
        Why.SURE -> context.getString(R.string.why_sure)
        Why.CLOUD_IS_OFF -> context.getString(R.string.why_cloud_off)
        Why.CLASS_IS_NEW -> context.getString(R.string.why_class_new)
        Why.ASKING -> context.getString(R.string.why_asking)
        Why.NO_LINK -> context.getString(R.string.why_no_link)
        Why.NO_ANSWER -> context.getString(R.string.why_no_answer)
        Why.REFUSED -> context.getString(R.string.why_refused, detail)
        Why.CLOUD_ANSWERED -> context.getString(R.string.why_cloud_answered)
    }

    /** What teaching does now. */
    fun teach(teach: TeachState): String = when (teach) {
        is TeachState.Idle -> context.getString(R.string.teach_idle)
        is TeachState.Capturing -> context.getString(R.string.teach_capturing, teach.count, teach.of)
        is TeachState.Captured -> counted(R.plurals.teach_taken, teach.count, teach.name)
        is TeachState.Training ->
            if (teach.images > 0) counted(R.plurals.teach_training, teach.images)
            else context.getString(R.string.teach_practising)
        is TeachState.Paused -> counted(R.plurals.teach_paused, teach.images)
    }

    /** The link, in one line. */
    fun link(link: LinkLine): String =
        if (link.canRetry) context.getString(R.string.link_retry, lineOf(link)) else lineOf(link)

    private fun lineOf(link: LinkLine): String = when (link) {
        is LinkLine.NotPaired -> context.getString(R.string.link_not_paired)
        is LinkLine.Connecting -> context.getString(R.string.link_connecting)
        is LinkLine.Connected ->
            context.getString(if (link.cloudIsThere) R.string.link_connected else R.string.link_cloud_absent)
        is LinkLine.Offline -> context.getString(R.string.link_offline, time(link.sinceMillis))
        is LinkLine.WaitingForNetwork -> context.getString(R.string.link_no_network, time(link.sinceMillis))
        is LinkLine.WaitingForWifi -> context.getString(R.string.link_waits_for_wifi, time(link.sinceMillis))
        is LinkLine.BudgetUsedUp ->
            context.getString(if (link.canBeEnough) R.string.link_budget_used_up else R.string.link_budget_too_small)
        is LinkLine.Refused -> context.getString(R.string.link_refused, link.why)
    }

    private fun counted(id: Int, count: Int, vararg more: String): String =
        context.resources.getQuantityString(id, count, formats.count(count.toLong()), *more)

    private fun time(millis: Long): String = DateUtils.formatDateTime(context, millis, DateUtils.FORMAT_SHOW_TIME)
}
