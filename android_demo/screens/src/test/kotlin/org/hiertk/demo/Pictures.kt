/** Draws what the app shows into PNG files. */
package org.hiertk.demo

import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Rect
import android.view.View
import android.view.ViewGroup
import java.io.File

private val target = File("target/pictures")

/** Write a picture of the screen as NAME.png, half as large. scene: what the camera sees; null: nothing. */
fun TestApp.picture(name: String, scene: Scene? = null) {
    val screen = activity.window.decorView
    val drawn = Bitmap.createBitmap(screen.width, screen.height, Bitmap.Config.ARGB_8888)
    val canvas = Canvas(drawn)
    screen.draw(canvas)
    val camera = screen.findViewById<View>(R.id.camera)
    if (scene != null && camera != null) canvas.drawBitmap(scene.picture, null, placeOf(camera, screen as ViewGroup), null)
    val half = Bitmap.createScaledBitmap(drawn, screen.width / 2, screen.height / 2, true)
    target.mkdirs()
    File(target, "$name.png").outputStream().use { half.compress(Bitmap.CompressFormat.PNG, 100, it) }
}

private fun placeOf(view: View, of: ViewGroup) = Rect(0, 0, view.width, view.height).also { of.offsetDescendantRectToMyCoords(view, it) }
