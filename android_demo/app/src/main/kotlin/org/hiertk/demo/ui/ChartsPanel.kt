/** Both charts with their legends. */
package org.hiertk.demo.ui

import android.text.SpannableStringBuilder
import android.text.Spanned
import android.text.style.ForegroundColorSpan
import android.view.View
import android.widget.TextView
import org.hiertk.core.learning.Series
import org.hiertk.core.view.ClassCurve
import org.hiertk.core.view.CurvesState
import org.hiertk.core.view.accuracyChart
import org.hiertk.core.view.lossChart
import org.hiertk.demo.R

private const val MARK = "\u25A0"

/** root: a view with panel_charts.xml inside. */
class ChartsPanel(private val root: View, private val words: Words) {
    private val loss: ChartView = root.part(R.id.loss)
    private val accuracy: ChartView = root.part(R.id.accuracy)
    private val lossWords: TextView = root.part(R.id.loss_words)
    private val legend: TextView = root.part(R.id.accuracy_words)
    private val colors = curveColors(root.context)
    private var shown: CurvesState? = null

    /** Show curves. */
    fun show(curves: CurvesState) {
        if (isShown(curves)) return
        shown = curves
        showLoss(curves.loss)
        showAccuracy(curves.accuracies)
    }

    /** Curves only grow: the newest points tell whether there is news. */
    private fun isShown(curves: CurvesState): Boolean {
        val last = shown ?: return false
        return ends(curves) == ends(last)
    }

    private fun ends(curves: CurvesState): List<Any?> =
        listOf(curves.loss.x.lastOrNull(), curves.loss.y.lastOrNull()) +
            curves.accuracies.flatMap { listOf(it.name, it.series.x.lastOrNull(), it.series.y.lastOrNull()) }

    private fun showLoss(series: Series) {
        val isEmpty = series.size == 0
        loss.isThere(!isEmpty)
        loss.show(if (isEmpty) null else { box -> lossChart(series, box) })
        val now = words.formats.loss(series.y.lastOrNull() ?: Double.NaN)
        val steps = words.formats.count((series.x.lastOrNull() ?: 0.0).toLong())
        lossWords.say(text(if (isEmpty) R.string.chart_empty else R.string.chart_loss_description, now, steps))
    }

    private fun showAccuracy(curves: List<ClassCurve>) {
        accuracy.isThere(curves.isNotEmpty())
        accuracy.show(if (curves.isEmpty()) null else { box -> accuracyChart(curves.map { it.series }, box) })
        legend.say(if (curves.isEmpty()) text(R.string.chart_empty) else legendOf(curves))
    }

    private fun legendOf(curves: List<ClassCurve>): CharSequence {
        val legend = SpannableStringBuilder()
        curves.forEachIndexed { index, curve ->
            if (index > 0) legend.append("   ")
            legend.append(MARK, ForegroundColorSpan(colors[index % colors.size]), Spanned.SPAN_EXCLUSIVE_EXCLUSIVE)
            val newest = words.formats.percent(curve.series.y.lastOrNull() ?: Double.NaN)
            legend.append(" ").append(text(R.string.chart_class_accuracy, curve.name, newest))
        }
        return legend
    }

    private fun text(id: Int, vararg arguments: Any): String = root.resources.getString(id, *arguments)
}
