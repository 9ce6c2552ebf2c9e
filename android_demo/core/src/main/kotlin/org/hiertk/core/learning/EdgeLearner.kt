/** What trains the edge partition on the phone, whatever the engine. */
package org.hiertk.core.learning

import java.nio.file.Path

/**
 * What one training step gives.
 *
 * features: (N, C, H, W), as they were before the step. logits: (N, class slots). loss: mean cross
 * entropy of the early exit, nats.
 */
class StepResult(val loss: Float, val features: FloatArray, val logits: FloatArray)

/** What one prediction gives: features (N, C, H, W) and logits (N, class slots). */
class Answer(val features: FloatArray, val logits: FloatArray)

/** One class's part of the early exit's linear layer. */
class ExitRow(val weight: FloatArray, val bias: Float)

/**
 * The edge partition and its early exit, trained by an on-device engine.
 *
 * Images are (N, 3, size, size), normalized as the manifest says; labels N class slots. One thread
 * at a time. A step that throws leaves the learner as it was. At first the manifest's classes have
 * open slots; later a checkpoint says which are open.
 */
interface EdgeLearner : AutoCloseable {
    /** Optimizer steps done since the bundle was exported. */
    val edgeStep: Long

    /** The class slots that the early exit tells apart; the only valid labels. */
    val openSlots: Set<Int>

    /** The optimizer's rate from the next step on. */
    var learningRate: Float

    /** Do one training step. Throws ConfigException for labels that are not open. */
    fun step(images: FloatArray, labels: IntArray): StepResult

    /** Return what the partition makes of images, in the inference form. */
    fun predict(images: FloatArray): Answer

    /** Return copies of the slots' rows, open or not. */
    fun exitRows(slots: List<Int>): List<ExitRow>

    /** Open a slot with that row, or with the one that it has; an open one gets the row. */
    fun openSlot(slot: Int, row: ExitRow? = null)

    /** Close a slot: its probability and its gradient are exactly 0 then, its row is kept. */
    fun closeSlot(slot: Int)

    /** Add this to the logits of training steps from now on, (class slots,): logit adjustment. */
    fun adjust(prior: FloatArray)

    /** Write a checkpoint, atomically: parameters, optimizer state, edge step and open slots. */
    fun save(file: Path)
}
