/** What the learning thread is doing, at one moment: for the screen and for the device's status. */
package org.hiertk.core.learning

import org.hiertk.protocol.DeviceStatus

/** What learning does now. */
enum class LearningState {
    /** There are steps to do. */
    TRAINING,

    /** For new images. */
    WAITING,

    /** By the user, or because of a problem; predictions go on. */
    PAUSED,

    /** The thread has ended. */
    STOPPED,
}

/** A class and its images on this device. isKnown: the early exit tells it apart. */
class ClassExamples(
    val slot: Int,
    val name: String,
    val isProvisional: Boolean,
    val isKnown: Boolean,
    val taught: Long,
    val kept: Int,
    val heldOut: Int,
)

/**
 * One moment of learning; immutable.
 *
 * waiting: images that no step has taken yet. practice: steps that are still owed after a new class.
 * rehearsal: images that the rehearsal memory keeps. taught: images ever given. problems: a line each.
 * isSettled: nothing is left to train on, to measure or to save: the app may be ended.
 */
class LearningSnapshot(
    val state: LearningState,
    val edgeStep: Long,
    val measures: Measures,
    val waiting: Int,
    val practice: Int,
    val rehearsal: Int,
    val taught: Long,
    val classes: List<ClassExamples>,
    val predictions: PredictionCounts,
    val classMapVersion: Long,
    val problems: List<String>,
    val isSettled: Boolean,
)

/** Return the learning part of the device's status; the link adds its own. */
fun LearningSnapshot.deviceStatus(bits: Int): DeviceStatus = DeviceStatus.newBuilder()
    .setState(stateOnWire())
    .setEdgeStep(edgeStep)
    .setEarlyExitLoss(measures.loss.toFloat())
    .setEarlyExitAccuracy(measures.accuracy.toFloat())
    .setEarlyExitHeldOutAccuracy(measures.heldOutAccuracy.toFloat())
    .setStepMs(measures.stepMillis.toFloat())
    .setBits(bits)
    .setWaitingSamples(waiting.toLong())
    .setRehearsalSamples(rehearsal.toLong())
    .setPredictionsTotal(predictions.total)
    .setPredictionsByCloud(predictions.byCloud)
    .setTemperatureC(Float.NaN)
    .setClassMapVersion(classMapVersion.toInt())
    .addAllProblems(problems)
    .build()

private fun LearningSnapshot.stateOnWire(): DeviceStatus.State = when (state) {
    LearningState.TRAINING -> DeviceStatus.State.TRAINING
    LearningState.WAITING -> DeviceStatus.State.WAITING
    LearningState.PAUSED -> DeviceStatus.State.PAUSED
    LearningState.STOPPED -> DeviceStatus.State.OFFLINE
}
