/** Measuring the early exit on held-out images, a few at a time, so that the preview stays alive. */
package org.hiertk.core.learning

import org.hiertk.core.bundle.InputInfo
import org.hiertk.core.rehearsal.RehearsalMemory

private const val MOST_JUDGED = 1000 // fitting a temperature on them holds up the preview

/**
 * One measurement after the other, in slices between steps; one thread.
 *
 * The weights may move between two slices: a measurement is one of the steps that it took. temperature:
 * of the measurement before.
 */
internal class HeldOut(
    private val learner: EdgeLearner,
    private val memory: RehearsalMemory,
    info: InputInfo,
    private val progress: Progress,
    private val slice: Int,
    temperature: Double,
) {
    private val buffer = InputBuffer(info)
    private val samples = HashMap<Int, Int>()
    private val right = HashMap<Int, Int>()
    private val judged = ArrayList<Judged>()
    private var offset = 0

    /** Whether a measurement is under way. */
    var isUnderWay = false
        private set

    /** What makes the early exit's confidence honest, as of the newest measurement. */
    var temperature = temperature
        private set

    /** Begin a measurement; one that is under way begins anew. */
    fun begin() {
        samples.clear()
        right.clear()
        judged.clear()
        offset = 0
        isUnderWay = memory.heldOutCount > 0
    }

    /** Measure on the next few images. Throws EngineException, StorageException. */
    fun measureSlice() {
        val images = memory.heldOut(offset, slice)
        offset += slice
        val known = images.filter { it.slot in learner.openSlots }
        if (known.isNotEmpty()) {
            val logits = learner.predict(buffer.of(known.map { it.pixels })).logits
            val slots = logits.size / known.size
            known.forEachIndexed { row, sample ->
                samples.merge(sample.slot, 1, Int::plus)
                if (likeliest(logits, row * slots, slots) == sample.slot) right.merge(sample.slot, 1, Int::plus)
                judge(logits, row * slots, sample.slot)
            }
        }
        if (offset >= memory.heldOutCount) end()
    }

    private fun judge(logits: FloatArray, from: Int, slot: Int) {
        if (judged.size == MOST_JUDGED) return
        val open = learner.openSlots.sorted()
        judged.add(Judged(FloatArray(open.size) { logits[from + open[it]] }, open.indexOf(slot), slot))
    }

    private fun end() {
        isUnderWay = false
        temperature = fitTemperature(judged)
        progress.measured(learner.edgeStep, samples.mapValues { (slot, count) -> HeldOutClass(right[slot] ?: 0, count) })
    }
}
