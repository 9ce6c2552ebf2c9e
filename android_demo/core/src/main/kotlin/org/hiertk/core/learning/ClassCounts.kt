/** How often each class was trained on of late. */
package org.hiertk.core.learning

import kotlin.math.max

// Of a count, per batch: the newest 10 or so count. More of them lag behind a burst of a new class,
// and the loss makes up for too much.
private const val KEPT = 0.9
private const val LEAST = 1e-9 // a class that was there does not become one that never was

/**
 * Counts of labels that decay with every batch.
 *
 * They begin anew with the process: what they say is true again after some steps.
 */
class ClassCounts(slots: Int) {
    private var counts = DoubleArray(slots)

    /** Count the labels of a batch, all of them below the number of slots. */
    fun add(labels: IntArray) {
        for (slot in counts.indices) if (counts[slot] > 0) counts[slot] = max(KEPT * counts[slot], LEAST)
        for (label in labels) counts[label] += 1.0
    }

    /** Follow classes that are in other slots now. */
    fun move(moves: Moves) {
        val before = counts
        counts = before.copyOf()
        for (old in moves.keys) counts[old] = 0.0
        for ((old, new) in moves) if (new != null) counts[new] += before[old]
    }

    /** Return the log prior (class slots,) of what was counted. */
    fun prior(): FloatArray = logPrior(counts)
}
