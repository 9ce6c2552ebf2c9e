/** Draws the curves that core has laid out; it decides nothing but colours and letters. */
package org.hiertk.demo.ui

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.graphics.Path
import android.util.AttributeSet
import android.util.TypedValue
import android.view.View
import org.hiertk.core.view.Box
import org.hiertk.core.view.Chart
import org.hiertk.core.view.Formats
import org.hiertk.core.view.Polyline
import org.hiertk.demo.R
import kotlin.math.ceil

/** A chart without its legend, which is text beside it. */
class ChartView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private val formats = Formats(context.resources.configuration.locales[0])
    private val gap = pixels(TypedValue.COMPLEX_UNIT_DIP, 6f)
    private val radius = pixels(TypedValue.COMPLEX_UNIT_DIP, 2.5f)
    private val colors = curveColors(context)

    private val letters = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        color = context.getColor(R.color.faint)
        textSize = pixels(TypedValue.COMPLEX_UNIT_SP, 12f)
    }
    private val grid = Paint().apply { color = context.getColor(R.color.grid) }
    private val stroke = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        style = Paint.Style.STROKE
        strokeWidth = pixels(TypedValue.COMPLEX_UNIT_DIP, 2f)
        strokeJoin = Paint.Join.ROUND
    }
    private val fill = Paint(Paint.ANTI_ALIAS_FLAG)

    private var layOut: ((Box) -> Chart)? = null
    private var chart: Chart? = null
    private var box = Box(0f, 0f, 1f, 1f)
    private var paths: List<Path> = emptyList()

    /** Show what this makes of a box; null: an empty chart. */
    fun show(layOut: ((Box) -> Chart)?) {
        this.layOut = layOut
        arrange()
        invalidate()
    }

    override fun onSizeChanged(width: Int, height: Int, oldWidth: Int, oldHeight: Int) {
        super.onSizeChanged(width, height, oldWidth, oldHeight)
        arrange()
    }

    override fun onDraw(canvas: Canvas) {
        super.onDraw(canvas)
        val chart = chart ?: return
        for (tick in chart.yTicks) {
            canvas.drawLine(box.left, tick.at, box.left + box.width, tick.at, grid)
            letters.textAlign = Paint.Align.RIGHT
            canvas.drawText(formats.number(tick.value, chart.yDigits), box.left - gap, tick.at - letters.ascent() / 2, letters)
        }
        for (tick in everyOther(chart)) {
            letters.textAlign = Paint.Align.CENTER
            canvas.drawText(formats.number(tick.value, chart.xDigits), tick.at, box.top + box.height + gap - letters.ascent(), letters)
        }
        chart.curves.forEachIndexed { index, curve -> draw(canvas, index, curve) }
    }

    private fun draw(canvas: Canvas, index: Int, curve: Polyline) {
        stroke.color = colors[index % colors.size]
        fill.color = stroke.color
        canvas.drawPath(paths[index], stroke)
        for (at in curve.dots.indices step 2) canvas.drawCircle(curve.dots[at], curve.dots[at + 1], radius, fill)
    }

    /** Return the ticks of time whose numbers do not touch. */
    private fun everyOther(chart: Chart) = chart.xTicks.filterIndexed { index, _ ->
        val widest = chart.xTicks.maxOf { letters.measureText(formats.number(it.value, chart.xDigits)) } + 2 * gap
        val apart = if (chart.xTicks.size > 1) chart.xTicks[1].at - chart.xTicks[0].at else widest
        index % maxOf(1, ceil(widest / apart).toInt()) == 0
    }

    private fun arrange() {
        val layOut = layOut
        if (layOut == null || width == 0 || height == 0) {
            chart = null
            return
        }
        val lettersLeft = letters.measureText("0.000") + 2 * gap
        val below = letters.textSize + 2 * gap
        val right = letters.measureText("0000")
        box = Box(
            lettersLeft, letters.textSize / 2,
            maxOf(1f, width - lettersLeft - right), maxOf(1f, height - below - letters.textSize / 2),
        )
        val laidOut = layOut(box)
        chart = laidOut
        paths = laidOut.curves.map(::pathOf)
    }

    private fun pathOf(curve: Polyline): Path {
        val path = Path()
        for (line in curve.lines) {
            path.moveTo(line[0], line[1])
            for (at in 2 until line.size step 2) path.lineTo(line[at], line[at + 1])
        }
        return path
    }

    private fun pixels(unit: Int, size: Float) = TypedValue.applyDimension(unit, size, resources.displayMetrics)
}

/** The colours of curves, in their order. */
fun curveColors(context: Context): IntArray = intArrayOf(
    context.getColor(R.color.curve_1), context.getColor(R.color.curve_2), context.getColor(R.color.curve_3),
    context.getColor(R.color.curve_4), context.getColor(R.color.curve_5), context.getColor(R.color.curve_6),
)
