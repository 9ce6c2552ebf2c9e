/** What the camera is pointed at: a real image, as large as a camera's frame. */
package org.hiertk.demo

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Color
import org.hiertk.core.image.Plane
import org.hiertk.core.image.YuvFrame
import java.io.File
import java.nio.ByteBuffer

private const val SIDE = 480
private const val NO_COLOR = 128.toByte()

/** A grey image, scaled up. */
class Scene(file: File) {
    /** As the preview shows it, square. */
    val picture: Bitmap = Bitmap.createScaledBitmap(file.inputStream().use(BitmapFactory::decodeStream), SIDE, SIDE, true)

    /** As the camera gives it, upright. */
    fun frame(): YuvFrame {
        val pixels = IntArray(SIDE * SIDE)
        picture.getPixels(pixels, 0, SIDE, 0, 0, SIDE, SIDE)
        val bright = ByteBuffer.wrap(ByteArray(pixels.size) { Color.red(pixels[it]).toByte() })
        return YuvFrame(SIDE, SIDE, Plane(bright, SIDE, 1), colorless(), colorless())
    }

    private fun colorless() = Plane(ByteBuffer.wrap(ByteArray(SIDE * SIDE / 4) { NO_COLOR }), SIDE / 2, 1)
}
