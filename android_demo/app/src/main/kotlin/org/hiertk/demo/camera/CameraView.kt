/** Shows the camera's picture, upright and cut to a square: what the network sees. */
package org.hiertk.demo.camera

import android.content.Context
import android.graphics.Matrix
import android.graphics.RectF
import android.graphics.SurfaceTexture
import android.util.AttributeSet
import android.util.Size
import android.view.Surface
import android.view.TextureView
import org.hiertk.core.image.YuvFrame
import kotlin.math.max

/** Runs the camera while it is wanted and there is a surface to draw on. Main thread, but for the frames. */
class CameraView(context: Context, attributes: AttributeSet?) :
    TextureView(context, attributes), TextureView.SurfaceTextureListener {
    private var camera: Camera? = null
    private var wish: Wish? = null

    private class Wish(val size: Size, val frame: (YuvFrame, Int) -> Unit, val failed: () -> Unit)

    init {
        surfaceTextureListener = this
    }

    /**
     * Begin to show. frame: gets each frame and the degrees clockwise until it is upright on this display, in the
     * camera's thread. failed: is called in the main thread.
     */
    fun begin(size: Size, frame: (YuvFrame, Int) -> Unit, failed: () -> Unit) {
        end()
        wish = Wish(size, frame, failed)
        if (isAvailable) open()
    }

    /** Let go of the camera. */
    fun end() {
        wish = null
        release()
    }

    override fun onSurfaceTextureAvailable(texture: SurfaceTexture, width: Int, height: Int) = open()

    override fun onSurfaceTextureSizeChanged(texture: SurfaceTexture, width: Int, height: Int) = straighten()

    override fun onSurfaceTextureUpdated(texture: SurfaceTexture) = Unit

    override fun onSurfaceTextureDestroyed(texture: SurfaceTexture): Boolean {
        release()
        return true
    }

    override fun onDetachedFromWindow() {
        end()
        super.onDetachedFromWindow()
    }

    private fun open() {
        val wish = wish ?: return
        val texture = surfaceTexture ?: return
        release()
        val turned = turnedDegrees()
        val opened = Camera(
            context,
            wish.size,
            frame = { frame, orientation -> wish.frame(frame, Math.floorMod(orientation - turned, 360)) },
            failed = { post(wish.failed) },
        )
        camera = opened
        straighten()
        opened.open(texture)
    }

    private fun release() {
        camera?.close()
        camera = null
    }

    /** Return by how many degrees the display is turned, as the phone is held. */
    private fun turnedDegrees(): Int = when (display?.rotation) {
        Surface.ROTATION_90 -> 90
        Surface.ROTATION_180 -> 180
        Surface.ROTATION_270 -> 270
        else -> 0
    }

    /** The system draws the picture upright for an upright phone and stretches it over the view: undo the rest. */
    private fun straighten() {
        val size = camera?.size ?: return
        if (width == 0 || height == 0) return
        val turned = turnedDegrees()
        val isSideways = Math.floorMod((camera?.orientation ?: 0), 180) == 90
        val upright = if (isSideways) RectF(0f, 0f, size.height.toFloat(), size.width.toFloat()) else
            RectF(0f, 0f, size.width.toFloat(), size.height.toFloat())
        val matrix = Matrix()
        // The picture in its own proportions around the view's middle, turned back, as large as covers the view.
        matrix.setScale(upright.width() / width, upright.height() / height)
        matrix.postTranslate(-upright.width() / 2, -upright.height() / 2)
        matrix.postRotate(-turned.toFloat())
        val isTurned = turned % 180 == 90
        val shownWidth = if (isTurned) upright.height() else upright.width()
        val shownHeight = if (isTurned) upright.width() else upright.height()
        val scale = max(width / shownWidth, height / shownHeight)
        matrix.postScale(scale, scale)
        matrix.postTranslate(width / 2f, height / 2f)
        setTransform(matrix)
    }
}
