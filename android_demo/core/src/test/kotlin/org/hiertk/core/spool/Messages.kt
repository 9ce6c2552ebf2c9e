/** Feature messages for the spool's tests. */
package org.hiertk.core.spool

import com.google.protobuf.ByteString
import org.hiertk.protocol.FeatureBatch
import org.hiertk.protocol.QuantizedFeatures

/** Return a message of so many samples, its payload of so many bytes of one value. */
internal fun message(samples: Int = 4, payloadBytes: Int = 100, value: Int = 7): FeatureBatch {
    val payload = ByteString.copyFrom(ByteArray(payloadBytes) { value.toByte() })
    return FeatureBatch.newBuilder()
        .setDevice("phone")
        .addAllLabels(List(samples) { it })
        .setFeatures(QuantizedFeatures.newBuilder().setBits(8).setPayload(payload))
        .build()
}

/** Return the numbers of all messages that the spool gives out, in its order. */
internal fun Spool.numbers(): List<Long> = generateSequence(next(0)) { next(it.seq) }.map { it.seq }.toList()

/** Return what the messages of the spool say of themselves. */
internal fun Spool.contents(): Map<Long, FeatureBatch> =
    generateSequence(next(0)) { next(it.seq) }.associate { it.seq to FeatureBatch.parseFrom(it.message) }
