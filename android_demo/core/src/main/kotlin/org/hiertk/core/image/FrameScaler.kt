/** From a camera's frame or a picture to 8-bit RGB of the bundle's size: what hiertk_edge/images.py does on other devices. */
package org.hiertk.core.image

import org.hiertk.core.ConfigException

private const val LARGEST_SIDE = 1 shl 14

/**
 * Makes (size, size, 3) 8-bit RGB: a centred square, resized exactly as Pillow's bilinear resize, turned.
 *
 * One thread at a time. It allocates only when a frame is larger than those before.
 */
class FrameScaler(val size: Int) {
    private val yuv = YuvRows()
    private var filter = ResizeFilter(size, size)
    private var row = IntArray(0) // a row of the square, RGB
    private var narrow = ByteArray(0) // (rows of the square, size, 3): resized in width only

    /**
     * Scale a camera's frame. rotation: degrees clockwise that make it upright.
     *
     * Throws ConfigException for sizes that do not fit.
     */
    fun scale(frame: YuvFrame, rotation: Int, into: ByteArray) {
        val side = prepare(frame.width, frame.height, rotation, into)
        val halfWidth = (frame.width + 1) / 2
        val halfHeight = (frame.height + 1) / 2
        if (!(frame.y.holds(frame.width, frame.height) && frame.u.holds(halfWidth, halfHeight) &&
                frame.v.holds(halfWidth, halfHeight))
        ) {
            throw ConfigException("a plane of the camera's frame is smaller than ${frame.width}x${frame.height} needs")
        }
        val left = (frame.width - side) / 2
        val top = (frame.height - side) / 2
        for (line in 0 until side) {
            yuv.read(frame, left, top + line, side, row)
            narrowRow(line)
        }
        shorten(rotation, into)
    }

    /** Scale a picture of ARGB pixels, row by row; otherwise as a frame. */
    fun scale(argb: IntArray, width: Int, height: Int, rotation: Int, into: ByteArray) {
        val side = prepare(width, height, rotation, into)
        if (argb.size < width * height) {
            throw ConfigException("a picture of ${width}x$height has ${argb.size} pixels only")
        }
        val left = (width - side) / 2
        val top = (height - side) / 2
        for (line in 0 until side) {
            readArgb(argb, (top + line) * width + left, side)
            narrowRow(line)
        }
        shorten(rotation, into)
    }

    private fun prepare(width: Int, height: Int, rotation: Int, into: ByteArray): Int {
        if (width !in 1..LARGEST_SIDE || height !in 1..LARGEST_SIDE) {
            throw ConfigException("a frame of ${width}x$height: choose one of 1 to $LARGEST_SIDE pixels a side")
        }
        if (rotation !in 0..270 || rotation % 90 != 0) {
            throw ConfigException("a frame turned by $rotation degrees: only 0, 90, 180 and 270 are known")
        }
        if (into.size < 3 * size * size) {
            throw ConfigException("a buffer of ${into.size} bytes for a picture of ${3 * size * size}")
        }
        val side = minOf(width, height)
        if (filter.from != side) filter = ResizeFilter(side, size)
        if (row.size < 3 * side) row = IntArray(3 * side)
        if (narrow.size < 3 * size * side) narrow = ByteArray(3 * size * side)
        return side
    }

    private fun readArgb(argb: IntArray, start: Int, pixels: Int) {
        var at = 0
        for (index in start until start + pixels) {
            val pixel = argb[index]
            row[at] = pixel shr 16 and 255
            row[at + 1] = pixel shr 8 and 255
            row[at + 2] = pixel and 255
            at += 3
        }
    }

    /** Resize the row in width, into line `line` of `narrow`. */
    private fun narrowRow(line: Int) {
        var at = 3 * size * line
        for (column in 0 until size) {
            var red = HALF
            var green = HALF
            var blue = HALF
            var from = 3 * filter.first[column]
            val start = column * filter.width
            for (index in start until start + filter.count[column]) {
                val weight = filter.weights[index]
                red += row[from] * weight
                green += row[from + 1] * weight
                blue += row[from + 2] * weight
                from += 3
            }
            narrow[at] = level(red)
            narrow[at + 1] = level(green)
            narrow[at + 2] = level(blue)
            at += 3
        }
    }

    /** Resize `narrow` in height, and put each pixel where the rotation has it. */
    private fun shorten(rotation: Int, into: ByteArray) {
        val last = size - 1
        val start = when (rotation) { 0 -> 0; 90 -> last; 180 -> size * size - 1; else -> last * size }
        val right = when (rotation) { 0 -> 1; 90 -> size; 180 -> -1; else -> -size }
        val down = when (rotation) { 0 -> size; 90 -> -1; 180 -> -size; else -> 1 }
        for (line in 0 until size) {
            for (column in 0 until size) {
                shortenPixel(line, column, 3 * (start + line * down + column * right), into)
            }
        }
    }

    private fun shortenPixel(line: Int, column: Int, at: Int, into: ByteArray) {
        var red = HALF
        var green = HALF
        var blue = HALF
        var from = 3 * (filter.first[line] * size + column)
        val start = line * filter.width
        for (index in start until start + filter.count[line]) {
            val weight = filter.weights[index]
            red += (narrow[from].toInt() and 255) * weight
            green += (narrow[from + 1].toInt() and 255) * weight
            blue += (narrow[from + 2].toInt() and 255) * weight
            from += 3 * size
        }
        into[at] = level(red)
        into[at + 1] = level(green)
        into[at + 2] = level(blue)
    }
}

/** Rounding may lift the weights' sum a little above 1. */
private fun level(sum: Int): Byte = minOf(sum shr WEIGHT_BITS, 255).toByte()
