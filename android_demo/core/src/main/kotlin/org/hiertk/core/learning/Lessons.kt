/** Which images a training step takes: newly captured ones, mixed with images seen before. */
package org.hiertk.core.learning

import org.hiertk.core.bundle.Backend
import org.hiertk.core.bundle.Manifest
import org.hiertk.core.bundle.Normalization
import org.hiertk.core.rehearsal.ClassCount
import org.hiertk.core.rehearsal.RehearsalMemory
import org.hiertk.core.rehearsal.Sample
import kotlin.math.max
import kotlin.math.min
import kotlin.random.Random

/**
 * What a batch is made of.
 *
 * batchSize: images. fewest: that a step can train on; a program of a fixed batch size: all of it.
 * practice: steps on images seen before that follow one on a new class.
 */
class Mix(val batchSize: Int, val fewest: Int = 2, val practice: Int = 3)

/** Return what a bundle's program can train on: padding would be among the statistics of an ExecuTorch batch. */
fun mixFor(manifest: Manifest): Mix {
    val size = manifest.engine.batchSize
    val isWhole = manifest.engine.backend == Backend.EXECUTORCH && manifest.model.normalization == Normalization.BATCH
    return if (isWhole) Mix(size, fewest = size) else Mix(size)
}

/**
 * What is trained on next.
 *
 * samples: newly captured ones first. fresh: how many those are. sent: the features of so many first
 * ones are sent. isStep: false where the images are too few, or of one class only; then its slot is
 * opened with a row made from them, and that is all.
 */
class Lesson(val samples: List<Sample>, val fresh: Int, val sent: Int, val isStep: Boolean) {
    /** Class slots, (N,). */
    val labels: IntArray get() = IntArray(samples.size) { samples[it].slot }
}

/**
 * Chooses lessons as the Python device does (docs/decisions/0014); differs in that an image never
 * waits for others, since a capture comes whole, and that rehearsed images are not replaced by new
 * ones where they are short, as long as a step can do with fewer.
 *
 * A step on one class alone would teach the exit to take everything for that class. A phone that was
 * just installed has nothing to rehearse, so its first class is known by its imprinted row only,
 * until there is a second one.
 *
 * exported: classes of the bundle. One thread.
 */
class Lessons(
    private val memory: RehearsalMemory,
    private val waiting: WaitingRoom,
    private val mix: Mix,
    private val exported: Int,
    private val random: Random = Random.Default,
) {
    private var owed = 0 // steps of practice

    /** Steps of practice that are still to come. */
    val owedPractice: Int get() = owed

    /** Return the next lesson; null if there is nothing to train on. Throws StorageException. */
    fun next(): Lesson? = if (waiting.size > 0) withFresh() else practice()

    /** Take the new images of a lesson out of the waiting room. */
    fun done(lesson: Lesson) {
        if (lesson.fresh == 0) {
            owed--
            return
        }
        waiting.remove(lesson.fresh)
        val counts = memory.counts
        if (lesson.samples.take(lesson.fresh).any { isNew(it.slot, counts) }) owePractice(mix.practice)
    }

    /** Owe practice for classes that the memory knows and the exit does not: a restart lost their steps. */
    fun catchUp(openSlots: Set<Int>) {
        val missing = memory.counts.filter { (slot, count) -> slot !in openSlots && count.kept > 0 }
        val steps = missing.values.sumOf { it.kept.toLong() } * (1 + mix.practice) / mostNew()
        owePractice(min(steps, MOST_OWED.toLong()).toInt() + missing.size)
    }

    private fun withFresh(): Lesson {
        val counts = memory.counts
        val even = evenPart(counts)
        val kept = min(memory.size, mix.batchSize - even)
        val fresh = if (even + kept >= mix.fewest) even else max(even, min(waiting.size, mix.batchSize - kept))
        return lesson(waiting.oldest(fresh) + memory.draw(kept, random), fresh)
    }

    /** Return images seen before, if they are to settle what a new class has upset. */
    private fun practice(): Lesson? {
        if (owed == 0) return null
        val lesson = lesson(memory.draw(min(memory.size, mix.batchSize), random), 0)
        if (!lesson.isStep) owed = min(lesson.samples.size, 1) // to open slots, once is enough
        return if (lesson.samples.isEmpty()) null else lesson
    }

    private fun lesson(samples: List<Sample>, fresh: Int): Lesson {
        val isStep = samples.size >= mix.fewest && samples.any { it.slot != samples.first().slot }
        // As many as a full step has new ones: a cloud that saw one class alone in the newest features
        // would take what is new about them for that class.
        return Lesson(samples, fresh, min(samples.size, max(fresh, wantedFresh())), isStep)
    }

    /**
     * Return how many of the oldest waiting images may be in one step without a class too many.
     *
     * Of one class at most an eighth of it, unless there are only few classes: with half of a step of
     * one class, batch statistics are that class's, and the exit forgets all others.
     */
    private fun evenPart(counts: Map<Int, ClassCount>): Int {
        val next = waiting.oldest(wantedFresh())
        val known = counts.filterValues { it.kept > 0 }.keys + next.map { it.slot }
        val most = max(mostNew(), -(-wantedFresh()).floorDiv(known.size))
        val seen = HashMap<Int, Int>()
        val stop = next.indexOfFirst { sample -> seen.merge(sample.slot, 1, Int::plus)!! > most }
        return if (stop < 0) next.size else stop
    }

    private fun wantedFresh() = max(1, mix.batchSize / 2)

    private fun mostNew() = max(1, mix.batchSize / 8)

    private fun isNew(slot: Int, counts: Map<Int, ClassCount>) =
        slot >= exported && (counts[slot]?.seen ?: 0) <= TAUGHT

    private fun owePractice(steps: Int) {
        owed = min(owed + steps, MOST_OWED)
    }

    companion object {
        /** Images of a class, after which it is none of the new ones any more. */
        const val TAUGHT = 200L
        private const val MOST_OWED = 100
    }
}
