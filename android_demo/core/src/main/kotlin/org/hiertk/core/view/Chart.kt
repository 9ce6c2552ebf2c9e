/** From curves to what is drawn: polylines and ticks in pixels, whatever draws them. */
package org.hiertk.core.view

import org.hiertk.core.learning.Series

/** Where a chart's curves are, in pixels from the top left; width and height at least 1. */
class Box(val left: Float, val top: Float, val width: Float, val height: Float)

/** A tick: its place along its axis in pixels, and its value. */
class Tick(val at: Float, val value: Double)

/**
 * One curve as it is drawn.
 *
 * lines: unbroken pieces, each x, y, x, y and so on in pixels. dots: x, y of points with a gap on both
 * sides, and of a curve's only point.
 */
class Polyline(val lines: List<FloatArray>, val dots: FloatArray)

/** A chart ready to be drawn; curves in the order that was given. xDigits, yDigits: that the ticks need. */
class Chart(
    val curves: List<Polyline>,
    val xTicks: List<Tick>,
    val yTicks: List<Tick>,
    val xDigits: Int,
    val yDigits: Int,
)

/**
 * Lay out curves in a box. Time runs from left to right in every language, as on any plot.
 *
 * x: of the axis, as y. Values beyond an axis are drawn at its edge. Where there are several points
 * to a pixel, the least and the most of them are drawn, so that a peak is never lost.
 */
fun layOut(curves: List<Series>, x: Axis, y: Axis, box: Box): Chart = Chart(
    curves = curves.map { polyline(it, x, y, box) },
    xTicks = x.ticks.map { Tick(box.left + (x.place(it) * box.width).toFloat(), it) },
    yTicks = y.ticks.map { Tick(box.top + ((1 - y.place(it)) * box.height).toFloat(), it) },
    xDigits = x.digits,
    yDigits = y.digits,
)

/** Lay out loss curves: both axes over what there is; the loss's begins at 0. */
fun lossChart(loss: Series, box: Box): Chart =
    layOut(listOf(loss), stepAxis(listOf(loss)), axisOver(loss.y + 0.0), box)

/** Lay out curves of accuracies, shares of 1. */
fun accuracyChart(curves: List<Series>, box: Box): Chart = layOut(curves, stepAxis(curves), shareAxis(), box)

private fun stepAxis(curves: List<Series>) =
    axisOver(DoubleArray(curves.sumOf { it.size }).also { all ->
        var at = 0
        for (curve in curves) for (value in curve.x) all[at++] = value
    }, fewestStep = 1.0)

private fun polyline(series: Series, x: Axis, y: Axis, box: Box): Polyline {
    val lines = ArrayList<FloatArray>()
    val dots = ArrayList<Float>()
    for (piece in pieces(series)) {
        val points = thinned(series, piece, x, box)
        val drawn = FloatArray(2 * points.size)
        points.forEachIndexed { at, index ->
            drawn[2 * at] = box.left + (x.place(series.x[index]).coerceIn(0.0, 1.0) * box.width).toFloat()
            drawn[2 * at + 1] = box.top + ((1 - y.place(series.y[index]).coerceIn(0.0, 1.0)) * box.height).toFloat()
        }
        if (points.size == 1) dots.addAll(drawn.toList()) else lines.add(drawn)
    }
    return Polyline(lines, dots.toFloatArray())
}

/** Return the ranges of points between gaps. */
private fun pieces(series: Series): List<IntRange> {
    val found = ArrayList<IntRange>()
    var from = 0
    for (index in 0..series.size) {
        val isGap = index == series.size || series.y[index].isNaN() || series.x[index].isNaN()
        if (!isGap) continue
        if (index > from) found.add(from until index)
        from = index + 1
    }
    return found
}

/** Return the points of a piece that are drawn: of each pixel's the first, the lowest, the highest and the last. */
private fun thinned(series: Series, piece: IntRange, x: Axis, box: Box): List<Int> {
    val kept = ArrayList<Int>()
    var from = piece.first
    while (from <= piece.last) {
        val pixel = pixelOf(series.x[from], x, box)
        var until = from + 1
        while (until <= piece.last && pixelOf(series.x[until], x, box) == pixel) until++
        val lowest = (from until until).minByOrNull { series.y[it] } ?: from
        val highest = (from until until).maxByOrNull { series.y[it] } ?: from
        kept.addAll(sortedSetOf(from, lowest, highest, until - 1))
        from = until
    }
    return kept
}

private fun pixelOf(value: Double, x: Axis, box: Box) = (x.place(value).coerceIn(0.0, 1.0) * box.width).toInt()
