/** One of the app's screens: a view that shows the phone's state. */
package org.hiertk.demo.ui

import android.app.Activity
import android.view.View
import android.widget.TextView
import org.hiertk.demo.Phone

/** Where the user is. */
enum class Place { MAIN, CLASSES, SETTINGS, SCAN }

/** What screens ask of the activity. */
class Stage(
    val activity: Activity,
    val phone: Phone,
    val words: Words,
    val go: (Place) -> Unit,
    val chooseBundle: () -> Unit,
    val cameraAccess: CameraAccess,
)

/** Made anew whenever it is entered. */
interface Screen {
    val view: View

    /** Show what is now. */
    fun show()

    /** It is seen and may use the camera. */
    fun enter() = Unit

    /** It is seen no more; may be entered again. */
    fun leave() = Unit
}

/** Set a text only if it is another one: setting it again would make a screen reader say it again. */
fun TextView.say(words: CharSequence) {
    if (!words.contentEquals(text)) text = words
}

/** Show a view only if. */
fun View.isThere(isThere: Boolean) {
    visibility = if (isThere) View.VISIBLE else View.GONE
}

/** Return the view of a layout that has it for certain. */
fun <T : View> View.part(id: Int): T = checkNotNull(findViewById<T>(id)) { "the layout has no ${resources.getResourceEntryName(id)}" }
