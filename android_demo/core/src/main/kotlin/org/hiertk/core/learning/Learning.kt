/** The early exit being taught: all that belongs to one open learner, in the learning thread alone. */
package org.hiertk.core.learning

import org.hiertk.core.HierTkException
import org.hiertk.core.classes.ClassInSlot
import org.hiertk.core.classes.ClassMap
import org.hiertk.core.classes.ClassTable
import org.hiertk.core.classes.moveRows
import org.hiertk.core.rehearsal.Sample

/** Opens the learner as the newest checkpoint has it, and brings all parts up to date. Throws any HierTkException. */
internal class Learning(private val parts: LearningParts, private val settings: LearningSettings) : AutoCloseable {
    private val manifest = parts.manifest
    private val classes = parts.classes
    private val memory = parts.memory
    private val exported = manifest.classes.names.size
    private val waiting = WaitingRoom(settings.waitingBytes)
    private val lessons = Lessons(memory, waiting, settings.mix, exported, settings.random)
    private val progress = Progress()
    private val found = parts.checkpoints.newest()
    private val notes = found?.let { CheckpointNotes.parse(it.notes) }
    private val learner: EdgeLearner = open()
    private val newSlots = NewSlots(learner, exported, manifest.classes.capacity, manifest.features.shape[0])
    private val trainer = Trainer(learner, newSlots, manifest.input, classes, parts.outbox, progress)
    private val heldOut = HeldOut(
        learner, memory, manifest.input, progress, settings.slice, notes?.temperature ?: NO_TEMPERATURE,
    )
    private val checkpointing = Checkpointing(learner, parts.checkpoints, classes, settings.checkpointSteps)
    private val preview = InputBuffer(manifest.input)
    private var memoryIsBehind = false
    private var hasJustMeasured = false
    private var measuredStep = -1L

    init {
        lessons.catchUp(learner.openSlots)
        beginMeasuring()
    }

    private val isSettled: Boolean
        get() = !hasLessons && !heldOut.isUnderWay && measuredStep == learner.edgeStep && !checkpointing.hasNews

    /** Whether there is a step to do. */
    val hasLessons: Boolean get() = waiting.size > 0 || lessons.owedPractice > 0

    /**
     * Take captured images of a class, which may be a new one. Throws ConfigException, StorageException.
     *
     * What finds no room to wait is trained on as the rehearsal memory has it.
     */
    fun teach(name: String, images: List<ByteArray>) {
        catchUp()
        val slot = classes.nameNew(name)
        for (pixels in images) {
            if (memory.holdOut(pixels, slot)) continue
            memory.add(pixels, slot) // already now: it is on disk if the app is killed before its step
            waiting.add(Sample(pixels, slot))
        }
        memory.flush()
    }

    /** Delete the images of a class; one that the bundle did not have is forgotten by the early exit, too. */
    fun forget(slot: Int) {
        catchUp()
        waiting.forget(slot)
        progress.forget(slot)
        if (slot >= exported && slot in learner.openSlots) {
            learner.closeSlot(slot)
            checkpointing.note()
        }
        heldOut.begin()
        memory.remove(slot)
        memory.flush()
    }

    /** Put a newer class map in place. Throws StorageException: give it again then. */
    fun follow(map: ClassMap) {
        val before = classes.table
        classes.follow(map)
        val now = classes.table
        if (now !== before) {
            memoryIsBehind = true
            moveRows(learner, before.bySlot, now)
            move(now.moves(before.bySlot).filter { (slot, target) -> slot != target })
            checkpointing.note()
        }
        catchUp()
    }

    /** Do the next piece of work: a step, a slice of a measurement or a checkpoint; false if there is none. */
    fun work(): Boolean {
        catchUp()
        if (heldOut.isUnderWay && !(hasJustMeasured && hasLessons)) {
            hasJustMeasured = true
            val before = heldOut.temperature
            heldOut.measureSlice()
            if (heldOut.temperature != before) checkpointing.note()
            return true
        }
        hasJustMeasured = false
        return train() || measureAtRest() || saveAtRest()
    }

    /** Write a checkpoint if there is news. Throws StorageException, EngineException. */
    fun save() {
        if (checkpointing.hasNews) checkpointing.save(trainer.newest, heldOut.temperature)
    }

    /** Return the early exit's answer for a frame; null while no class is open. Throws EngineException. */
    fun predict(frame: Frame): EarlyAnswer? {
        val answer = learner.predict(preview.of(listOf(frame.pixels)))
        val table = classes.table
        val known = table.bySlot.map { (slot, one) -> KnownClass(slot, one.name, one.isProvisional) }
        val scores = earlyScores(answer.logits, known, learner.openSlots, heldOut.temperature) ?: return null
        return EarlyAnswer(frame.number, scores, answer.features, known, learner.edgeStep)
    }

    /** Return what is going on. */
    fun snapshot(state: LearningState, predictions: PredictionCounts, problems: List<String>): LearningSnapshot {
        val counts = memory.counts
        return LearningSnapshot(
            state, learner.edgeStep, progress.measures(), waiting.size, lessons.owedPractice, memory.size,
            counts.values.sumOf { it.seen }, examples(classes.table), predictions, classes.confirmed, problems, isSettled,
        )
    }

    override fun close() = learner.close()

    private fun open(): EdgeLearner {
        val learner = parts.openEngine(found?.learnerFile)
        try {
            bringUpToDate(learner, notes?.known ?: learner.openSlots.associateWith { ClassInSlot("", 1) })
        } catch (error: HierTkException) {
            learner.close()
            throw error
        }
        return learner
    }

    private fun bringUpToDate(learner: EdgeLearner, known: Map<Int, ClassInSlot>) {
        classes.adopt(known.values)
        moveRows(learner, known, classes.table)
        memory.follow()
        classes.confirm(classes.table)
    }

    private fun catchUp() {
        if (!memoryIsBehind) return
        memory.follow()
        memoryIsBehind = false
        classes.confirm(classes.table)
    }

    private fun move(moves: Moves) {
        waiting.move(moves)
        progress.move(moves)
        newSlots.move(moves)
        if (heldOut.isUnderWay) heldOut.begin()
    }

    private fun train(): Boolean {
        val lesson = lessons.next() ?: return false
        val features = trainer.take(lesson)
        lessons.done(lesson)
        checkpointing.note()
        if (features != null) trainer.send(features)
        if (checkpointing.isDue) save()
        if (features == null || learner.edgeStep % settings.measureSteps == 0L) beginMeasuring()
        return true
    }

    private fun measureAtRest(): Boolean {
        if (measuredStep == learner.edgeStep) return false
        beginMeasuring()
        return heldOut.isUnderWay
    }

    private fun beginMeasuring() {
        measuredStep = learner.edgeStep
        heldOut.begin()
    }

    private fun saveAtRest(): Boolean {
        if (!checkpointing.hasNews) return false
        save()
        return true
    }

    private fun examples(table: ClassTable): List<ClassExamples> {
        val counts = memory.counts
        return table.bySlot.map { (slot, one) ->
            val count = counts[slot]
            ClassExamples(
                slot, one.name, one.isProvisional, slot in learner.openSlots,
                count?.seen ?: 0, count?.kept ?: 0, count?.heldOut ?: 0,
            )
        }
    }
}
