/** What learning is made of, and how it is done. */
package org.hiertk.core.learning

import org.hiertk.core.bundle.Manifest
import org.hiertk.core.classes.DeviceClasses
import org.hiertk.core.rehearsal.RehearsalMemory
import java.nio.file.Path
import kotlin.random.Random

/**
 * How it is done.
 *
 * mix: of a batch. waitingBytes: of captured images that no step has taken yet. checkpointSteps,
 * measureSteps: after how many steps. slice: held-out images between two steps. random: draws what is
 * rehearsed.
 */
class LearningSettings(
    val mix: Mix,
    val waitingBytes: Long = 16L shl 20,
    val checkpointSteps: Int = 50,
    val measureSteps: Int = 10,
    val slice: Int = 8,
    val random: Random = Random.Default,
)

/** What learning is made of. openEngine: takes a checkpoint's file, or null for the weights of the export. */
class LearningParts(
    val manifest: Manifest,
    val openEngine: (Path?) -> EdgeLearner,
    val checkpoints: Checkpoints,
    val classes: DeviceClasses,
    val memory: RehearsalMemory,
    val outbox: Outbox,
)
