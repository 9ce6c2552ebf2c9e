/**
 * The spool: feature messages on disk until the cloud has settled them.
 *
 * A put that returned survives a kill and a power cut. The counts are written before a file is deleted, and
 * a file that should be gone is deleted at the next opening: each message counts once.
 */
package org.hiertk.core.spool

import org.hiertk.core.ConfigException
import org.hiertk.core.StorageException
import org.hiertk.core.reasonOf
import org.hiertk.protocol.FeatureBatch
import java.io.IOException
import java.nio.file.Path
import java.util.TreeMap
import java.util.concurrent.TimeUnit
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock

const val DEFAULT_SPOOL_BYTES = 256L shl 20
private const val EXPIRED_AT_ONCE = 1000

/** A message in the spool. message: a FeatureBatch without its floor, which the sender fills in. */
class Stored(val seq: Long, val message: ByteArray)

/** Puts from the learning thread, reads and settles from the link's; any thread may call anything. */
class Spool private constructor(
    private val folder: Path,
    private val maxBytes: Long,
    private val maxAgeSeconds: Long,
    runTime: () -> Long,
    opened: OpenedSpool,
) : AutoCloseable {
    private val files = opened.files
    private val countsFile = opened.countsFile
    private val clock = RunClock(opened.clock, runTime)
    private val lock = ReentrantLock()
    private val changed = lock.newCondition()
    private val index = TreeMap<Long, Entry>()
    private val leaving = ArrayList<Entry>() // gone, but their files may still be there
    private var nextSeq = opened.nextSeq

    /** What tells this spool's numbers from those of any other one. */
    val epoch: Long = opened.epoch

    /** The counts as of the newest change. */
    @Volatile
    var totals: SpoolTotals = opened.totals
        private set

    init {
        opened.entries.forEach { index[it.seq] = it }
        lock.withLock {
            // From here on the epoch is kept, and nothing that was gone before is counted again.
            countsFile.write(counts(totals))
            drop(oldestBeyond(maxBytes))
        }
    }

    /** The lowest sequence number still held, or the next one: no lower one will be sent. */
    val floor: Long get() = lock.withLock { lowest() }

    /**
     * Fill in epoch and number, store the message, return its number. Where it is full, the oldest ones go.
     *
     * Throws StorageException, and then all is as it was; ConfigException for a message larger than the spool.
     */
    fun put(message: FeatureBatch): Long = lock.withLock {
        expire()
        val data = message.toBuilder().setEpoch(epoch).setSeq(nextSeq).build().toByteArray()
        if (data.size > maxBytes) {
            throw ConfigException("a message of ${data.size} bytes is larger than the spool, $maxBytes: enlarge it")
        }
        val entry = Entry(nextSeq, data.size, message.labelsCount, clock.now())
        val outgoing = oldestBeyond(maxBytes - data.size)
        // The message is on the disk before anything goes: on a full one nothing is lost.
        reporting { files.prepare(entry, data) }
        try {
            if (outgoing.isNotEmpty()) note(outgoing) { it.withDropped(outgoing) }
            reporting { files.commit(entry) }
        } catch (error: StorageException) {
            files.giveUp(entry)
            throw error
        }
        index[entry.seq] = entry
        nextSeq++
        totals = totals.with(entry)
        deleteLeaving()
        entry.seq
    }

    /**
     * Return the message with the lowest number above `after`; null if there is none.
     *
     * One that is not as it was stored is put aside and counted, and the next one returned. Throws
     * StorageException.
     */
    fun next(after: Long): Stored? = lock.withLock {
        expire()
        firstWhole(after)
    }

    /** Return the bytes of the message that `next` would try first, without reading it. */
    fun sizeAfter(after: Long): Int? = lock.withLock { index.higherEntry(after)?.value?.size }

    /**
     * Delete what the cloud has settled; return those of `refused` that were still held, with the reasons.
     *
     * Throws StorageException, and then nothing is settled.
     */
    fun settle(
        through: Long,
        beyond: Collection<Long> = emptyList(),
        refused: Map<Long, String> = emptyMap(),
    ): Map<Long, String> = lock.withLock {
        val named = (beyond + refused.keys).mapNotNull { index[it] }
        val gone = LinkedHashSet(index.headMap(through, true).values).apply { addAll(named) }
        val held = gone.filter { it.seq in refused }.associate { it.seq to refused.getValue(it.seq) }
        if (gone.isNotEmpty()) {
            remove(gone) { it.copy(settled = it.settled + gone.size - held.size, refused = it.refused + held.size) }
        }
        held
    }

    /** Delete a message that no link takes, and count it. Throws StorageException. */
    fun drop(seq: Long): Unit = lock.withLock {
        val entry = index[seq] ?: return
        remove(listOf(entry)) { it.copy(tooLarge = it.tooLarge + 1) }
    }

    /** Wait until nothing is held; return whether that is so. */
    fun awaitEmpty(timeoutMillis: Long): Boolean = lock.withLock {
        var left = TimeUnit.MILLISECONDS.toNanos(timeoutMillis)
        while (index.isNotEmpty() && left > 0) left = changed.awaitNanos(left)
        index.isEmpty()
    }

    /** Write what is only remembered. Throws StorageException. */
    override fun close() = lock.withLock { countsFile.write(counts(totals)) }

    private fun expire() {
        if (maxAgeSeconds == 0L) return
        val before = clock.now() - maxAgeSeconds
        while (true) {
            val old = index.values.asSequence().take(EXPIRED_AT_ONCE).takeWhile { it.storedAt < before }.toList()
            if (old.isEmpty()) return
            remove(old) { it.copy(aged = it.aged + old.size) }
        }
    }

    private fun firstWhole(after: Long): Stored? {
        while (true) {
            val entry = index.higherEntry(after)?.value ?: return null
            reporting { files.read(entry) }?.let { return Stored(entry.seq, it) }
            reporting { files.setAside(entry) }
            remove(listOf(entry)) { it.copy(damaged = it.damaged + 1) }
        }
    }

    private fun oldestBeyond(bytes: Long): List<Entry> {
        val oldest = ArrayList<Entry>()
        var excess = totals.heldBytes - bytes
        for (entry in index.values) {
            if (excess <= 0) break
            oldest.add(entry)
            excess -= entry.size
        }
        return oldest
    }

    private fun drop(outgoing: List<Entry>) {
        if (outgoing.isNotEmpty()) remove(outgoing) { it.withDropped(outgoing) }
    }

    private fun remove(gone: Collection<Entry>, counted: (SpoolTotals) -> SpoolTotals) {
        note(gone, counted)
        deleteLeaving()
    }

    /** Write that messages are gone: from here on they are. */
    private fun note(gone: Collection<Entry>, counted: (SpoolTotals) -> SpoolTotals) {
        val next = counted(totals).without(gone)
        gone.forEach { index.remove(it.seq) }
        leaving.addAll(gone)
        try {
            countsFile.write(counts(next))
        } catch (error: StorageException) {
            gone.forEach { index[it.seq] = it }
            leaving.subList(leaving.size - gone.size, leaving.size).clear()
            throw error
        }
        totals = next
        changed.signalAll()
    }

    private fun deleteLeaving() {
        try {
            leaving.forEach(files::delete)
            files.deleteEmptyGroups(leaving.map { it.seq }, lowest())
            leaving.clear()
        } catch (_: IOException) {
            // They are gone already by the counts; the next removal or opening deletes the files.
            return
        }
    }

    private fun counts(now: SpoolTotals): Counts {
        val floor = lowest()
        val above = leaving.mapNotNullTo(LinkedHashSet()) { entry -> entry.seq.takeIf { it > floor } }
        return Counts(epoch = epoch, clock = clock.now(), nextSeq = nextSeq, floor = floor, leaving = above).with(now)
    }

    private fun lowest() = if (index.isEmpty()) nextSeq else index.firstKey()

    private fun <T> reporting(block: () -> T): T =
        try {
            block()
        } catch (error: IOException) {
            throw StorageException("the spool $folder: ${reasonOf(error)}: free some storage", error)
        }

    companion object {
        /**
         * Open or create the spool of one deployment and device, in a folder of its own. Throws StorageException.
         *
         * maxBytes: of messages. maxAgeSeconds: that the app may run with a message in its spool; 0: no
         * limit. runTime: nanoseconds that only run, on a phone those that count while it sleeps.
         */
        fun open(
            folder: Path,
            maxBytes: Long = DEFAULT_SPOOL_BYTES,
            maxAgeSeconds: Long = 0,
            runTime: () -> Long = System::nanoTime,
        ) = Spool(folder, maxBytes, maxAgeSeconds, runTime, openSpool(folder, maxBytes))
    }
}
