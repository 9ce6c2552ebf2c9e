/**
 * The spool's files opened: what is held, under which epoch, and which number comes next.
 *
 * Where the counts are lost, the messages say the epoch themselves, and the numbers go on so far above them
 * that none which the cloud may have settled is given twice.
 */
package org.hiertk.core.spool

import com.google.protobuf.InvalidProtocolBufferException
import org.hiertk.core.StorageException
import org.hiertk.core.reasonOf
import org.hiertk.protocol.FeatureBatch
import java.io.IOException
import java.nio.file.Files
import java.nio.file.Path
import java.security.SecureRandom

/** The cloud settles no number further above the lowest one that it waits for. */
private const val MOST_AHEAD = 4096L

/** Seconds that the app ran with the spool: no wall clock that is set moves them. */
internal class RunClock(private val before: Long, private val nanoseconds: () -> Long) {
    private val begun = nanoseconds()

    fun now(): Long = before + maxOf(0, nanoseconds() - begun) / 1_000_000_000
}

/** What a spool begins with. clock: seconds that the app had run with it. */
internal class OpenedSpool(
    val files: MessageFiles,
    val countsFile: CountsFile,
    val entries: List<Entry>,
    val epoch: Long,
    val nextSeq: Long,
    val totals: SpoolTotals,
    val clock: Long,
)

/** Open the files of a spool, or make them. Throws StorageException. */
internal fun openSpool(folder: Path, maxBytes: Long): OpenedSpool =
    try {
        Files.createDirectories(folder)
        val files = MessageFiles(folder)
        val countsFile = CountsFile(folder)
        val counts = countsFile.read()
        val entries = files.list(maxBytes)
        if (counts == null) {
            withoutCounts(files, countsFile, entries)
        } else {
            withCounts(files, countsFile, entries, counts)
        }
    } catch (error: IOException) {
        throw StorageException("cannot open the spool $folder: ${reasonOf(error)}", error)
    }

private fun withCounts(files: MessageFiles, file: CountsFile, entries: List<Entry>, counts: Counts): OpenedSpool {
    val (gone, held) = entries.partition { it.seq < counts.floor || it.seq in counts.leaving }
    gone.forEach(files::delete)
    files.deleteEmptyGroups(gone.map { it.seq }, held.firstOrNull()?.seq ?: counts.nextSeq)
    // Each removal writes the counts: what was put since then is all still held, unless somebody deleted it.
    val (counted, newer) = held.partition { it.seq < counts.nextSeq }
    val nextSeq = maxOf(counts.nextSeq, (held.lastOrNull()?.seq ?: 0) + 1)
    val before = counts.totals().copy(
        put = counts.put + (nextSeq - counts.nextSeq - newer.size),
        held = counted.size,
        heldBytes = counted.sumOf { it.size.toLong() },
    )
    return OpenedSpool(
        files,
        file,
        held,
        counts.epoch,
        nextSeq,
        newer.fold(withoutMissing(before), SpoolTotals::with),
        maxOf(counts.clock, held.maxOfOrNull { it.storedAt } ?: 0),
    )
}

/** What somebody else deleted is counted as damaged. */
private fun withoutMissing(totals: SpoolTotals) = totals.copy(damaged = totals.damaged + maxOf(0, totals.missing))

private fun withoutCounts(files: MessageFiles, file: CountsFile, entries: List<Entry>): OpenedSpool {
    val epoch = entries.asReversed().firstNotNullOfOrNull { epochOf(files, it) }
    if (epoch == null) {
        entries.forEach(files::setAside)
        val damaged = entries.size.toLong()
        val totals = SpoolTotals(put = damaged, damaged = damaged)
        return OpenedSpool(files, file, emptyList(), SecureRandom().nextLong(), 1, totals, 0)
    }
    return OpenedSpool(
        files,
        file,
        entries,
        epoch,
        entries.last().seq + MOST_AHEAD + 1,
        entries.fold(SpoolTotals(), SpoolTotals::with),
        entries.maxOf { it.storedAt },
    )
}

private fun epochOf(files: MessageFiles, entry: Entry): Long? =
    try {
        files.read(entry)?.let { FeatureBatch.parseFrom(it).epoch }
    } catch (_: InvalidProtocolBufferException) {
        null
    }
