/** The back camera: a preview, and frames for the network or for reading a code. */
package org.hiertk.demo.camera

import android.annotation.SuppressLint
import android.content.Context
import android.graphics.ImageFormat
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.os.HandlerThread
import android.util.Size
import android.view.Surface
import org.hiertk.core.image.Plane
import org.hiertk.core.image.YuvFrame
import kotlin.math.abs

private const val IMAGES = 2

/**
 * One opening of the camera. frame: gets each frame and the degrees clockwise until the sensor's picture is upright
 * on an upright phone, in the camera's thread; it is the callee's until it returns. failed: the camera is not there,
 * is taken, or broke; is called in the camera's thread, at most once.
 */
class Camera(
    context: Context,
    private val wanted: Size,
    private val frame: (YuvFrame, Int) -> Unit,
    private val failed: () -> Unit,
) : AutoCloseable {
    private val manager = context.getSystemService(CameraManager::class.java)
    private val thread = HandlerThread("camera").apply { start() }
    private val handler = Handler(thread.looper)
    private val id = backCamera()
    private val facts = id?.let(::factsOf)
    private var device: CameraDevice? = null
    private var session: CameraCaptureSession? = null
    private var reader: ImageReader? = null
    private var preview: Surface? = null
    private var isClosed = false
    private var hasFailed = false

    /** Degrees clockwise from the sensor's picture to an upright phone's. */
    val orientation: Int = facts?.get(CameraCharacteristics.SENSOR_ORIENTATION) ?: 0

    /** The size of preview and frames, as the sensor has it. */
    val size: Size = facts?.let(::nearestSize) ?: wanted

    /** Begin; the app must have the permission, which may be taken away at any time. */
    @SuppressLint("MissingPermission")
    fun open(texture: SurfaceTexture) {
        if (id == null) {
            fail()
            return
        }
        texture.setDefaultBufferSize(size.width, size.height)
        preview = Surface(texture)
        attempt { manager.openCamera(id, Opening(), handler) }
    }

    /** End; no frame comes any more when this returns. */
    @Synchronized
    override fun close() {
        if (isClosed) return
        isClosed = true
        session?.close()
        device?.close()
        reader?.close()
        preview?.release()
        thread.quitSafely()
    }

    private inner class Opening : CameraDevice.StateCallback() {
        override fun onOpened(camera: CameraDevice) = opened(camera)

        override fun onDisconnected(camera: CameraDevice) = lost(camera)

        override fun onError(camera: CameraDevice, error: Int) = lost(camera)
    }

    @Synchronized
    private fun opened(camera: CameraDevice) {
        if (isClosed) {
            camera.close()
            return
        }
        device = camera
        val frames = ImageReader.newInstance(size.width, size.height, ImageFormat.YUV_420_888, IMAGES)
        frames.setOnImageAvailableListener(::take, handler)
        reader = frames
        val surfaces = listOfNotNull(preview, frames.surface)
        attempt { begin(camera, surfaces) }
    }

    // What replaces it came with Android 9.
    @Suppress("DEPRECATION")
    private fun begin(camera: CameraDevice, surfaces: List<Surface>) = camera.createCaptureSession(
        surfaces,
        object : CameraCaptureSession.StateCallback() {
            override fun onConfigured(configured: CameraCaptureSession) = run(configured, surfaces)

            override fun onConfigureFailed(configured: CameraCaptureSession) = fail()
        },
        handler,
    )

    @Synchronized
    private fun run(configured: CameraCaptureSession, surfaces: List<Surface>) {
        if (isClosed) return
        session = configured
        attempt {
            val request = configured.device.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
            surfaces.forEach(request::addTarget)
            request.set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE)
            configured.setRepeatingRequest(request.build(), null, handler)
        }
    }

    @Synchronized
    private fun take(from: ImageReader) {
        if (isClosed) return
        val image = from.acquireLatestImage() ?: return
        image.use { frame(YuvFrame(it.width, it.height, plane(it, 0), plane(it, 1), plane(it, 2)), orientation) }
    }

    private fun plane(image: Image, index: Int): Plane {
        val plane = image.planes[index]
        return Plane(plane.buffer, plane.rowStride, plane.pixelStride)
    }

    @Synchronized
    private fun lost(camera: CameraDevice) {
        camera.close()
        fail()
    }

    /** Do something that the camera may refuse at any moment. */
    private fun attempt(what: () -> Unit) {
        try {
            what()
        } catch (error: CameraAccessException) {
            fail()
        } catch (error: SecurityException) {
            fail()
        } catch (error: IllegalStateException) {
            fail() // it was closed in between
        }
    }

    private fun fail() {
        if (hasFailed || isClosed) return
        hasFailed = true
        failed()
    }

    private fun backCamera(): String? = try {
        manager.cameraIdList.minByOrNull { if (facing(it) == CameraCharacteristics.LENS_FACING_BACK) 0 else 1 }
    } catch (error: CameraAccessException) {
        null // told by `open`
    }

    private fun facing(id: String) = factsOf(id)?.get(CameraCharacteristics.LENS_FACING)

    private fun factsOf(id: String): CameraCharacteristics? = try {
        manager.getCameraCharacteristics(id)
    } catch (error: CameraAccessException) {
        null // told by `open`
    }

    private fun nearestSize(facts: CameraCharacteristics): Size {
        val sizes = facts.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP)?.getOutputSizes(ImageFormat.YUV_420_888)
        return sizes?.minByOrNull { abs(it.width - wanted.width) + abs(it.height - wanted.height) } ?: wanted
    }
}
