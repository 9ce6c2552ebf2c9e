/** What runs a step program, on a phone or in a test. */
package org.hiertk.learner.executorch

import org.hiertk.core.tensors.FloatTensor

/**
 * A `.pte` file, a function without state (docs/decisions/0007); B is the bundle's batch size.
 *
 * train.pte: images (B, 3, size, size), targets (B, class slots), class bias (class slots,),
 * parameters, statistics, constants -> loss (1,), features (B, C, H, W), logits (B, class slots), one
 * gradient per parameter, the new value of each statistic. infer.pte: images, class bias, parameters,
 * statistics, constants -> features, logits. A target row is the label's one-hot vector over the
 * number of images, zeros for padding.
 */
interface StepProgram : AutoCloseable {
    /** Compute; results are the caller's, no later call changes them. Throws EngineException. */
    fun run(inputs: List<FloatTensor>): List<FloatTensor>
}
