/** A square as wide as there is room: the network sees a square, too. */
package org.hiertk.demo.ui

import android.content.Context
import android.util.AttributeSet
import android.widget.FrameLayout
import kotlin.math.min

/** So high that on an upright phone the teaching below is seen, too. */
class SquareLayout(context: Context, attributes: AttributeSet?) : FrameLayout(context, attributes) {
    override fun onMeasure(widthMeasureSpec: Int, heightMeasureSpec: Int) {
        val display = resources.displayMetrics
        val highest = if (display.heightPixels > display.widthPixels) UPRIGHT else ACROSS
        val side = min(MeasureSpec.getSize(widthMeasureSpec), highest * display.heightPixels / PERCENT)
        val exactly = MeasureSpec.makeMeasureSpec(side, MeasureSpec.EXACTLY)
        super.onMeasure(exactly, exactly)
    }

    private companion object {
        // Of the display's height.
        const val UPRIGHT = 36
        const val ACROSS = 60
        const val PERCENT = 100
    }
}
