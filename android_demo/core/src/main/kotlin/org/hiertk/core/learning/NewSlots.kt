/** How the early exit takes a class up that the bundle did not have: on its first examples. */
package org.hiertk.core.learning

/**
 * Makes a learner ready for batches with classes that are new to it.
 *
 * As long as only exported classes are trained on, it changes nothing and costs nothing. exported:
 * classes of the bundle. capacity: class slots. channels: of the features.
 */
class NewSlots(
    private val learner: EdgeLearner,
    exported: Int,
    capacity: Int,
    private val channels: Int,
) {
    private val counts = ClassCounts(capacity)
    private var hasNew = learner.openSlots.any { it >= exported }

    /**
     * Open the slots of a batch's labels, and adjust the loss, before the step on that batch.
     *
     * images: (N, 3, size, size). Throws ConfigException for a label that is no slot.
     */
    fun prepare(images: FloatArray, labels: IntArray) {
        open(images, labels)
        counts.add(labels)
        if (hasNew) learner.adjust(counts.prior())
    }

    /** Open the slots of labels that are not open yet, with rows made from their images. */
    fun open(images: FloatArray, labels: IntArray) {
        val missing = labels.toSet() - learner.openSlots
        if (missing.isEmpty()) return
        learner.exitRows(missing.sorted()) // throws for what is no slot, before anything is opened
        // What the exit's linear layer sees in the inference form, with which it will be asked.
        val pooled = pool(learner.predict(images).features, labels.size)
        for (slot in missing.sorted()) learner.openSlot(slot, imprinted(slot, pooled, labels))
        hasNew = true
    }

    /** Follow classes that are in other slots now. */
    fun move(moves: Moves) = counts.move(moves)

    private fun imprinted(slot: Int, pooled: List<FloatArray>, labels: IntArray): ExitRow {
        val known = learner.openSlots
        val others = pooled.filterIndexed { row, _ -> labels[row] in known }
        return imprintedRow(
            examples = pooled.filterIndexed { row, _ -> labels[row] == slot },
            others = if (others.isEmpty()) null else meanOf(others).let { mean -> FloatArray(mean.size) { mean[it].toFloat() } },
            known = learner.exitRows(known.sorted()),
        )
    }

    /** Return each image's mean over the places of its features (N, C, H, W): N of (C,). */
    private fun pool(features: FloatArray, samples: Int): List<FloatArray> {
        val places = features.size / (samples * channels)
        return List(samples) { row ->
            FloatArray(channels) { channel ->
                val from = (row * channels + channel) * places
                var sum = 0.0
                for (place in from until from + places) sum += features[place].toDouble()
                (sum / places).toFloat()
            }
        }
    }
}
