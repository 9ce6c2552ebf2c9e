/** What every engine refuses before it begins. */
package org.hiertk.core.learning

import org.hiertk.core.ConfigException
import org.hiertk.core.bundle.InputInfo

private const val MAX_LEARNING_RATE = 10f

/** Return how many images these are. Throws ConfigException for another size, and for values that are not finite. */
fun checkImages(images: FloatArray, input: InputInfo): Int {
    if (images.isEmpty() || images.size % input.values != 0) {
        val size = input.size
        throw ConfigException("images must be (N, 3, $size, $size), N from 1, got ${images.size} values")
    }
    // They would stay in the running statistics for good.
    if (!images.all(Float::isFinite)) throw ConfigException("an image has values that are not finite")
    return images.size / input.values
}

/** Refuse a row that does not fit the exit. Throws ConfigException. */
fun checkRow(row: ExitRow, channels: Int) {
    if (row.weight.size != channels) {
        throw ConfigException("a row of ${row.weight.size} values, the exit's have $channels")
    }
    if (!row.weight.all(Float::isFinite) || !row.bias.isFinite()) {
        throw ConfigException("a row of the exit has values that are not finite")
    }
}

/** Refuse a rate that no bundle may have. Throws ConfigException. */
fun checkLearningRate(rate: Float) {
    if (!(rate > 0 && rate <= MAX_LEARNING_RATE)) {
        throw ConfigException("learning rate $rate: above 0, up to $MAX_LEARNING_RATE")
    }
}
