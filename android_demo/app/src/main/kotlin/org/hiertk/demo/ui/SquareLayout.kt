/** A square as wide as there is room: the network sees a square, too. */
package org.hiertk.demo.ui

import android.content.Context
import android.util.AttributeSet
import android.widget.FrameLayout
import kotlin.math.min

/** Not higher than the display is, so that all of it can be seen. */
class SquareLayout(context: Context, attributes: AttributeSet?) : FrameLayout(context, attributes) {
    override fun onMeasure(widthMeasureSpec: Int, heightMeasureSpec: Int) {
        val side = min(MeasureSpec.getSize(widthMeasureSpec), HIGHEST * resources.displayMetrics.heightPixels / PERCENT)
        val exactly = MeasureSpec.makeMeasureSpec(side, MeasureSpec.EXACTLY)
        super.onMeasure(exactly, exactly)
    }

    private companion object {
        const val HIGHEST = 60
        const val PERCENT = 100
    }
}
