/** From 8-bit RGB to the network's input. */
package org.hiertk.core.image

import org.hiertk.core.ConfigException
import org.hiertk.core.bundle.InputInfo

private const val LEVELS = 256

/** Makes inputs (3, size, size) of 8-bit RGB (size, size, 3): /255, minus mean, over std, all in float32. */
class InputNormalizer(info: InputInfo) {
    private val pixels = info.size * info.size
    private val table = FloatArray(3 * LEVELS) {
        val channel = it / LEVELS
        ((it % LEVELS).toFloat() / 255f - info.mean[channel].toFloat()) / info.std[channel].toFloat()
    }

    /** Write one input to `into` from `offset` on. Throws ConfigException where it does not fit. */
    fun normalize(rgb: ByteArray, into: FloatArray, offset: Int = 0) {
        if (rgb.size != 3 * pixels || offset < 0 || offset > into.size - 3 * pixels) {
            throw ConfigException(
                "an image of ${rgb.size} bytes for place $offset of ${into.size} values: it takes ${3 * pixels}",
            )
        }
        for (channel in 0 until 3) {
            val start = offset + channel * pixels
            for (pixel in 0 until pixels) {
                into[start + pixel] = table[channel * LEVELS + (rgb[3 * pixel + channel].toInt() and 255)]
            }
        }
    }
}
