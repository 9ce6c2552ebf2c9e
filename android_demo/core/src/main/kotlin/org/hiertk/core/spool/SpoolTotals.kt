/** What the spool holds now, and what ever went through it. Pure. */
package org.hiertk.core.spool

import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable

/**
 * Messages, if nothing else is said; all but `held` and `heldBytes` survive restarts.
 *
 * put, samples, payloadBytes: ever put. settled: stored by the cloud, without the refused. dropped: because
 * the spool was full; droppedSamples: the same in samples. aged: dropped for their age. tooLarge: dropped
 * because no link took them. damaged: not as they were stored when they were to be sent.
 */
data class SpoolTotals(
    val held: Int = 0,
    val heldBytes: Long = 0,
    val put: Long = 0,
    val samples: Long = 0,
    val payloadBytes: Long = 0,
    val settled: Long = 0,
    val refused: Long = 0,
    val dropped: Long = 0,
    val droppedSamples: Long = 0,
    val aged: Long = 0,
    val tooLarge: Long = 0,
    val damaged: Long = 0,
) {
    /** Messages that were put and of which nothing is told; none, unless somebody deleted files. */
    internal val missing: Long get() = put - held - settled - refused - dropped - aged - tooLarge - damaged

    internal fun with(entry: Entry) = copy(
        held = held + 1,
        heldBytes = heldBytes + entry.size,
        put = put + 1,
        samples = samples + entry.samples,
        payloadBytes = payloadBytes + entry.size,
    )

    internal fun without(entries: Collection<Entry>) = copy(
        held = held - entries.size,
        heldBytes = heldBytes - entries.sumOf { it.size.toLong() },
    )

    internal fun withDropped(entries: Collection<Entry>) = copy(
        dropped = dropped + entries.size,
        droppedSamples = droppedSamples + entries.sumOf { it.samples.toLong() },
    )
}

/**
 * What the spool's counts file says.
 *
 * clock: seconds that the app had run with this spool. floor: what is below it is gone. leaving: what is
 * gone above it, though its file may still be there.
 */
@Serializable
internal data class Counts(
    @SerialName("schema_version") val schemaVersion: Int = SCHEMA_VERSION,
    val epoch: Long,
    val clock: Long = 0,
    @SerialName("next_seq") val nextSeq: Long = 1,
    val floor: Long = 1,
    val leaving: Set<Long> = emptySet(),
    val put: Long = 0,
    val samples: Long = 0,
    @SerialName("payload_bytes") val payloadBytes: Long = 0,
    val settled: Long = 0,
    val refused: Long = 0,
    val dropped: Long = 0,
    @SerialName("dropped_samples") val droppedSamples: Long = 0,
    val aged: Long = 0,
    @SerialName("too_large") val tooLarge: Long = 0,
    val damaged: Long = 0,
) {
    /** Return whether a spool can have written this. */
    fun isPossible() = schemaVersion == SCHEMA_VERSION && nextSeq >= 1 && floor in 1..nextSeq &&
        listOf(clock, put, samples, payloadBytes, settled, refused, dropped, droppedSamples, aged, tooLarge, damaged)
            .all { it >= 0 }

    /** Return the totals without what is held. */
    fun totals() = SpoolTotals(
        0, 0, put, samples, payloadBytes, settled, refused, dropped, droppedSamples, aged, tooLarge, damaged,
    )

    fun with(totals: SpoolTotals) = copy(
        put = totals.put,
        samples = totals.samples,
        payloadBytes = totals.payloadBytes,
        settled = totals.settled,
        refused = totals.refused,
        dropped = totals.dropped,
        droppedSamples = totals.droppedSamples,
        aged = totals.aged,
        tooLarge = totals.tooLarge,
        damaged = totals.damaged,
    )

    companion object {
        const val SCHEMA_VERSION = 1
    }
}
