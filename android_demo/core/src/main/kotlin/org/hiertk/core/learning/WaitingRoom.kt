/** Newly captured images that no step has taken yet, oldest first. */
package org.hiertk.core.learning

import org.hiertk.core.rehearsal.Sample

/**
 * A bounded queue in memory; the rehearsal memory has the same images on disk.
 *
 * So what waits when the app is killed is not lost: practice takes it from there.
 */
class WaitingRoom(private val maxBytes: Long) {
    private val waiting = ArrayDeque<Sample>()
    private var bytes = 0L

    /** Images that wait. */
    val size: Int get() = waiting.size

    /** Let an image wait; false if there is no room. */
    fun add(sample: Sample): Boolean {
        if (bytes + sample.pixels.size > maxBytes) return false
        waiting.addLast(sample)
        bytes += sample.pixels.size
        return true
    }

    /** Return the oldest images, so many at most; they go on waiting. */
    fun oldest(most: Int): List<Sample> = waiting.take(most)

    /** Take out the oldest images. */
    fun remove(count: Int) = repeat(count) { bytes -= waiting.removeFirst().pixels.size }

    /** Follow classes that are in other slots now; images of classes that are nowhere leave. */
    fun move(moves: Moves) {
        val moved = waiting.mapNotNull { sample ->
            val slot = if (sample.slot in moves) moves[sample.slot] else sample.slot
            slot?.let { Sample(sample.pixels, it) }
        }
        replaceBy(moved)
    }

    /** Let the images of a class leave. */
    fun forget(slot: Int) = replaceBy(waiting.filter { it.slot != slot })

    private fun replaceBy(samples: List<Sample>) {
        waiting.clear()
        waiting.addAll(samples)
        bytes = samples.sumOf { it.pixels.size.toLong() }
    }
}
