/** A curve that grows without end in a bounded number of points. */
package org.hiertk.core.learning

/** A curve's points: x rises, y may be NaN for a gap. Never changes. */
class Series(val x: DoubleArray, val y: DoubleArray) {
    /** Number of points. */
    val size: Int get() = x.size

    companion object {
        /** The curve without a point. */
        val EMPTY = Series(DoubleArray(0), DoubleArray(0))
    }
}

/**
 * Keeps a curve: when it is full, each two neighbours become their mean, and from then on each point
 * is the mean of twice as many values. One thread.
 */
class History(private val mostPoints: Int = 512) {
    init {
        require(mostPoints >= 2 && mostPoints % 2 == 0)
    }

    private val x = DoubleArray(mostPoints)
    private val y = DoubleArray(mostPoints)
    private var size = 0
    private var perPoint = 1
    private var pending = 0
    private var sumX = 0.0
    private var sumY = 0.0

    /** Add a value; at must not be below the newest one. */
    fun add(at: Double, value: Double) {
        sumX += at
        sumY += value
        pending++
        if (pending < perPoint) return
        x[size] = sumX / pending
        y[size] = sumY / pending
        size++
        pending = 0
        sumX = 0.0
        sumY = 0.0
        if (size == mostPoints) halve()
    }

    /** Return the curve as it is now; values that make no whole point yet are its last one. */
    fun series(): Series {
        val last = if (pending > 0) 1 else 0
        val xs = x.copyOf(size + last)
        val ys = y.copyOf(size + last)
        if (pending > 0) {
            xs[size] = sumX / pending
            ys[size] = sumY / pending
        }
        return Series(xs, ys)
    }

    private fun halve() {
        for (index in 0 until size / 2) {
            x[index] = (x[2 * index] + x[2 * index + 1]) / 2
            y[index] = (y[2 * index] + y[2 * index + 1]) / 2
        }
        size /= 2
        perPoint *= 2
    }
}
