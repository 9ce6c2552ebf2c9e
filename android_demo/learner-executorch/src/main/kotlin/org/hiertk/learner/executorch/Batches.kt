package org.hiertk.learner.executorch

import org.hiertk.core.bundle.InputInfo
import org.hiertk.core.tensors.FloatTensor

/** Makes whole batches of a program's size; what is missing are zeros. slots: of the exit. */
internal class Batches(private val size: Int, private val slots: Int, private val input: InputInfo) {
    /** Return the images of a batch, (size, 3, input, input), of at most so many. */
    fun images(images: FloatArray) =
        FloatTensor(listOf(size, CHANNELS, input.size, input.size), images.copyOf(size * input.values))

    /** Return the labels' one-hot rows over their number, (size, slots). */
    fun targets(labels: IntArray): FloatTensor {
        val share = (1.0 / labels.size).toFloat()
        val rows = FloatArray(size * slots)
        for ((row, label) in labels.withIndex()) rows[row * slots + label] = share
        return FloatTensor(listOf(size, slots), rows)
    }

    /** Return images in pieces of at most a batch. */
    fun pieces(images: FloatArray): List<FloatArray> {
        val piece = size * input.values
        return (images.indices step piece).map { images.copyOfRange(it, minOf(it + piece, images.size)) }
    }

    private companion object {
        const val CHANNELS = 3
    }
}

/** Return all parts in one array. */
internal fun joined(parts: List<FloatArray>): FloatArray {
    val whole = FloatArray(parts.sumOf { it.size })
    var start = 0
    for (part in parts) {
        part.copyInto(whole, start)
        start += part.size
    }
    return whole
}
