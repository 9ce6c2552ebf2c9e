/** What training looks like now: means over the newest steps, and the curves. */
package org.hiertk.core.learning

private const val NEWEST = 50

/** How many of a class's held-out images the early exit names rightly. */
class HeldOutClass(val right: Int, val samples: Int) {
    /** A share of 1; NaN of none. */
    val accuracy: Double get() = if (samples == 0) Double.NaN else right.toDouble() / samples
}

/**
 * Measures at one moment.
 *
 * loss: nats, accuracy: on training batches before their step; both means over the newest steps,
 * NaN before the first. heldOut: the newest measurement by class slot. lossCurve over edge steps,
 * accuracyCurves by class slot.
 */
class Measures(
    val loss: Double,
    val accuracy: Double,
    val stepMillis: Double,
    val heldOut: Map<Int, HeldOutClass>,
    val lossCurve: Series,
    val accuracyCurves: Map<Int, Series>,
) {
    /** Over all held-out images; NaN until measured. */
    val heldOutAccuracy: Double
        get() = HeldOutClass(heldOut.values.sumOf { it.right }, heldOut.values.sumOf { it.samples }).accuracy
}

/** Gathers measures; one thread. */
class Progress {
    private val losses = ArrayDeque<Double>()
    private val accuracies = ArrayDeque<Double>()
    private val stepMillis = ArrayDeque<Double>()
    private val lossCurve = History()
    private val accuracyCurves = HashMap<Int, History>()
    private var heldOut: Map<Int, HeldOutClass> = emptyMap()

    /** Take in one training step. */
    fun add(edgeStep: Long, loss: Float, accuracy: Double, millis: Double) {
        losses.push(loss.toDouble())
        accuracies.push(accuracy)
        stepMillis.push(millis)
        lossCurve.add(edgeStep.toDouble(), loss.toDouble())
    }

    /** Take in a measurement of all held-out images. */
    fun measured(edgeStep: Long, classes: Map<Int, HeldOutClass>) {
        heldOut = classes
        for ((slot, one) in classes) accuracyCurves.getOrPut(slot) { History() }.add(edgeStep.toDouble(), one.accuracy)
    }

    /** Let the measures follow their classes. */
    fun move(moves: Moves) {
        heldOut = moved(heldOut, moves)
        val curves = moved(accuracyCurves, moves)
        accuracyCurves.clear()
        accuracyCurves.putAll(curves)
    }

    /** Forget what was measured of a class. */
    fun forget(slot: Int) = move(mapOf(slot to null))

    /** Return the measures as they are now. */
    fun measures() = Measures(
        loss = losses.average(),
        accuracy = accuracies.average(),
        stepMillis = if (stepMillis.isEmpty()) Double.NaN else stepMillis.sorted()[stepMillis.size / 2],
        heldOut = heldOut,
        lossCurve = lossCurve.series(),
        accuracyCurves = accuracyCurves.mapValues { it.value.series() },
    )

    private fun ArrayDeque<Double>.push(value: Double) {
        if (size == NEWEST) removeFirst()
        addLast(value)
    }

    private fun <T> moved(bySlot: Map<Int, T>, moves: Moves): Map<Int, T> {
        val moved = HashMap<Int, T>()
        for ((slot, one) in bySlot) {
            val target = if (slot in moves) moves[slot] else slot
            if (target != null) moved[target] = one
        }
        return moved
    }
}
