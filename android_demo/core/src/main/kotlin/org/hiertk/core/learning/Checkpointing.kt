/** When the phone writes a checkpoint, and never one that has diverged. */
package org.hiertk.core.learning

import org.hiertk.core.EngineException
import org.hiertk.core.classes.DeviceClasses

/** Writes one after so many steps, and when training rests; one thread. */
internal class Checkpointing(
    private val learner: EdgeLearner,
    private val checkpoints: Checkpoints,
    private val classes: DeviceClasses,
    private val everySteps: Int,
) {
    private var savedStep = learner.edgeStep
    private var hasOtherNews = false

    /** Whether there are enough steps for the next one. */
    val isDue: Boolean get() = learner.edgeStep - savedStep >= everySteps

    /** Whether there is anything that the newest one does not have. */
    val hasNews: Boolean get() = learner.edgeStep != savedStep || hasOtherNews

    /** Note that slots were opened, closed or moved, or that the temperature is another. */
    fun note() {
        hasOtherNews = true
    }

    /**
     * Write one. images: to see on that the weights are good; a step's own loss is from before its update.
     * temperature: of the early exit.
     *
     * Throws StorageException, and EngineException if training has diverged: the older ones stay.
     */
    fun save(images: FloatArray, temperature: Double) {
        if (images.isNotEmpty() && learner.predict(images).logits.any { it.isNaN() || it.isInfinite() }) {
            throw EngineException(
                "training has diverged before step ${learner.edgeStep}: the checkpoint of step $savedStep stays: restart the app"
            )
        }
        val known = classes.table.bySlot.filterKeys { it in learner.openSlots }
        checkpoints.save(learner, CheckpointNotes(known, temperature).toText())
        savedStep = learner.edgeStep
        hasOtherNews = false
    }
}
