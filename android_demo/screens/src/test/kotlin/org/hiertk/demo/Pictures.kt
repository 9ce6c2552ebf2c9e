/** Draws what the app shows into PNG files. */
package org.hiertk.demo

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Rect
import android.view.View
import android.view.ViewGroup
import java.io.File

// Of the screen's own pixels, which are two to a dp.
private const val SCALE = 0.4f
private const val ACROSS = 3
private const val GAP = 12

private val target = File("target/pictures")

/** Write a picture of the screen as NAME.png. scene: what the camera sees; null: nothing. */
fun TestApp.picture(name: String, scene: Scene? = null) {
    val screen = activity.window.decorView
    val drawn = blank((SCALE * screen.width).toInt(), (SCALE * screen.height).toInt())
    val canvas = Canvas(drawn)
    canvas.scale(SCALE, SCALE)
    screen.draw(canvas)
    val camera = screen.findViewById<View>(R.id.camera)
    if (scene != null && camera != null) canvas.drawBitmap(scene.picture, null, placeOf(camera, screen as ViewGroup), null)
    write(drawn, File(target, "$name.png"))
}

/** Write pictures, which are there, into one, android-MODE.png; `-Dhiertk.pictures=FOLDER` says where to. */
fun combine(mode: String, names: List<String>) {
    val parts = names.map { File(target, "$mode-$it.png").inputStream().use(BitmapFactory::decodeStream) }
    val (width, height) = parts[0].width + GAP to parts[0].height + GAP
    val whole = blank(ACROSS * width + GAP, (parts.size + ACROSS - 1) / ACROSS * height + GAP)
    val canvas = Canvas(whole)
    canvas.drawColor(Color.GRAY)
    parts.forEachIndexed { index, part ->
        canvas.drawBitmap(part, (GAP + index % ACROSS * width).toFloat(), (GAP + index / ACROSS * height).toFloat(), null)
    }
    write(whole, File(System.getProperty("hiertk.pictures") ?: target.path, "android-$mode.png"))
}

private fun blank(width: Int, height: Int) = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888)

private fun write(picture: Bitmap, file: File) {
    target.mkdirs()
    file.outputStream().use { picture.compress(Bitmap.CompressFormat.PNG, 100, it) }
}

private fun placeOf(view: View, of: ViewGroup) = Rect(0, 0, view.width, view.height).also { of.offsetDescendantRectToMyCoords(view, it) }
