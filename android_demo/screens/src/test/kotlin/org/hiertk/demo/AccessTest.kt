package org.hiertk.demo

import android.graphics.Color
import android.view.View
import android.view.ViewGroup
import android.widget.AdapterView
import android.widget.TextView
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import kotlin.math.max
import kotlin.math.min
import kotlin.test.assertEquals
import kotlin.test.assertTrue

private const val TARGET_DP = 48
private const val TEXT_CONTRAST = 4.5
private const val CURVE_CONTRAST = 3.0

/** The screens for people who hear them, who need large letters, or who see little contrast. */
@RunWith(RobolectricTestRunner::class)
class AccessTest {
    @Test
    fun `in both languages and with large letters no text is cut off, and what can be pressed is large and named`() {
        val faults = TestApp(camera = false).use { app ->
            val start = faultsInAllShapes(app, "start")
            app.begin()
            val main = faultsInAllShapes(app, "main")
            app.click(R.id.to_classes)
            val classes = faultsInAllShapes(app, "classes")
            app.click(R.id.back)
            app.click(R.id.to_settings)
            val settings = faultsInAllShapes(app, "settings")
            app.click(R.id.scan)
            start + main + classes + settings + faultsInAllShapes(app, "scan")
        }
        assertEquals(emptyList(), faults)
    }

    @Test
    fun `texts and curves stand out from the light background`() = checkContrast()

    @Test
    @Config(qualifiers = "+night")
    fun `texts and curves stand out from the dark background`() = checkContrast()

    private fun faultsInAllShapes(app: TestApp, screen: String): List<String> =
        listOf("en" to 1f, "en" to 1.5f, "de" to 1f, "de" to 1.5f).flatMap { (language, letters) ->
            RuntimeEnvironment.setFontScale(letters)
            listOf("port", "land").flatMap { way ->
                app.turn("+$language-$way")
                faultsOf(app).map { "$screen, $language, letters $letters, $way: $it" }
            }
        }.also {
            RuntimeEnvironment.setFontScale(1f)
            app.turn("+en-port")
        }

    private fun faultsOf(app: TestApp): List<String> {
        val seen = seenBelow(app.root)
        assertTrue(seen.size > 4, "nothing is seen")
        return seen.mapNotNull { view ->
            val fault = if (view is TextView && isCutOff(view)) "is cut off" else faultToPress(view)
            fault?.let { "${nameOf(view)} $it" }
        }
    }

    private fun isCutOff(view: TextView): Boolean {
        val lines = view.layout
        val wide = view.width - view.compoundPaddingLeft - view.compoundPaddingRight
        val high = view.height - view.extendedPaddingTop - view.extendedPaddingBottom
        val isHintTooWide = view.text.isEmpty() && view.hint != null && view.paint.measureText(view.hint.toString()) > wide
        return isHintTooWide || lines.height > high ||
            (0 until lines.lineCount).any { lines.getEllipsisCount(it) > 0 || lines.getLineMax(it) > wide + 1 }
    }

    private fun faultToPress(view: View): String? {
        val isPressed = view.isClickable && view !is AdapterView<*> && (view as? TextView)?.isTextSelectable != true
        if (!isPressed) return null
        val least = TARGET_DP * view.resources.displayMetrics.density
        val words = listOfNotNull(view.contentDescription, (view as? TextView)?.text, (view as? TextView)?.hint)
        val isNamed = words.any { it.isNotBlank() } || labelled(view)
        return when {
            view.height < least || view.width < least -> "is ${view.width} by ${view.height} pixels"
            !isNamed -> "has no name to be read out"
            else -> null
        }
    }

    private fun labelled(view: View) = seenBelow(view.rootView).any { it.labelFor == view.id && (it as TextView).text.isNotBlank() }

    private fun seenBelow(view: View): List<View> = when {
        view.visibility != View.VISIBLE -> emptyList()
        view is ViewGroup -> listOf(view) + (0 until view.childCount).flatMap { seenBelow(view.getChildAt(it)) }
        else -> listOf(view)
    }

    private fun nameOf(view: View): String {
        val words = (view as? TextView)?.text?.takeIf { it.isNotBlank() } ?: view.javaClass.simpleName
        return if (view.id == View.NO_ID) "\"$words\"" else "${view.resources.getResourceEntryName(view.id)} (\"$words\")"
    }

    private fun checkContrast() {
        val context = RuntimeEnvironment.getApplication()
        val letters = listOf(R.color.text, R.color.faint, R.color.problem)
        val curves = listOf(R.color.curve_1, R.color.curve_2, R.color.curve_3, R.color.curve_4, R.color.curve_5, R.color.curve_6)
        fun check(front: Int, back: Int, least: Double) {
            val contrast = contrast(context.getColor(front), context.getColor(back))
            assertTrue(contrast >= least, "${context.resources.getResourceEntryName(front)}: $contrast")
        }
        for (one in letters) check(one, R.color.background, TEXT_CONTRAST)
        for (one in letters) check(one, R.color.bar, TEXT_CONTRAST)
        for (one in curves + R.color.accent) check(one, R.color.background, CURVE_CONTRAST)
    }

    /** Of WCAG 2. */
    private fun contrast(one: Int, other: Int): Double {
        val (a, b) = listOf(one, other).map { Color.luminance(it).toDouble() }
        return (max(a, b) + 0.05) / (min(a, b) + 0.05)
    }
}
