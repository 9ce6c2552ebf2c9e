/** A camera's frame as Android's YUV_420_888 has it. */
package org.hiertk.core.image

import java.nio.Buffer
import java.nio.ByteBuffer

/** One plane of a frame; who reads it moves the buffer's position. Strides are bytes. */
class Plane(val bytes: ByteBuffer, val rowStride: Int, val pixelStride: Int) {
    /** Return whether the buffer holds so many pixels of so many rows. */
    internal fun holds(width: Int, height: Int): Boolean = pixelStride > 0 && rowStride > 0 &&
        (height - 1L) * rowStride + (width - 1L) * pixelStride < bytes.limit()

    /** Copy the bytes of `pixels` pixels from (`column`, `row`) on; they stay `pixelStride` apart. */
    internal fun read(column: Int, row: Int, pixels: Int, into: ByteArray) {
        moveTo(bytes, row * rowStride + column * pixelStride)
        bytes.get(into, 0, (pixels - 1) * pixelStride + 1)
    }

    // ByteBuffer's own position() has another signature since Java 9, which Android 8 lacks.
    private fun moveTo(buffer: Buffer, position: Int) {
        buffer.position(position)
    }
}

/** A frame: full-range BT.601, as cameras give it; u and v have half the width and height, rounded up. */
class YuvFrame(val width: Int, val height: Int, val y: Plane, val u: Plane, val v: Plane)

/** Turns parts of a frame's rows into RGB. The buffers grow to the widest frame that it has met. */
internal class YuvRows {
    private var luma = ByteArray(0)
    private var blue = ByteArray(0)
    private var red = ByteArray(0)

    /** Write `pixels` pixels from (`left`, `row`) on as RGB, one Int for each value. */
    fun read(frame: YuvFrame, left: Int, row: Int, pixels: Int, into: IntArray) {
        val firstChroma = left shr 1
        val chromas = (left + pixels - 1 shr 1) - firstChroma + 1
        luma = atLeast(luma, pixels * frame.y.pixelStride)
        blue = atLeast(blue, chromas * frame.u.pixelStride)
        red = atLeast(red, chromas * frame.v.pixelStride)
        frame.y.read(left, row, pixels, luma)
        frame.u.read(firstChroma, row shr 1, chromas, blue)
        frame.v.read(firstChroma, row shr 1, chromas, red)
        val yStride = frame.y.pixelStride
        val uStride = frame.u.pixelStride
        val vStride = frame.v.pixelStride
        var at = 0
        for (pixel in 0 until pixels) {
            val chroma = (left + pixel shr 1) - firstChroma
            val y = ((luma[pixel * yStride].toInt() and 255) shl 16) + (1 shl 15)
            val u = (blue[chroma * uStride].toInt() and 255) - 128
            val v = (red[chroma * vStride].toInt() and 255) - 128
            into[at] = level(y + 91881 * v shr 16) // 1.402 * 2^16
            into[at + 1] = level(y - 22554 * u - 46802 * v shr 16) // 0.344136, 0.714136
            into[at + 2] = level(y + 116130 * u shr 16) // 1.772
            at += 3
        }
    }

    private fun atLeast(buffer: ByteArray, size: Int): ByteArray = if (buffer.size < size) ByteArray(size) else buffer
}

private fun level(value: Int): Int = if (value < 0) 0 else if (value > 255) 255 else value
