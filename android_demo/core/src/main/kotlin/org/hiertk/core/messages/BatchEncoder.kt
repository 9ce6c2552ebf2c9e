/** From one step's result to messages: quantized once, split along N until each part fits. */
package org.hiertk.core.messages

import org.hiertk.core.ConfigException
import org.hiertk.core.ProtocolException
import org.hiertk.core.bundle.Manifest
import org.hiertk.core.codec.FeatureShape
import org.hiertk.core.codec.Quantized
import org.hiertk.core.codec.decode
import org.hiertk.core.codec.encode
import org.hiertk.core.codec.quantize
import org.hiertk.core.learning.StepResult
import org.hiertk.protocol.FeatureBatch

/** What fits the strictest public brokers. */
const val MAX_MESSAGE_BYTES = 120 * 1024

/** The most samples of one message. */
const val MAX_SAMPLES = 4096
private const val ENVELOPE_BYTES = 40 // epoch, seq and floor, which the spool and the link fill in
private const val MAX_STORED_BYTES = 16 shl 20

/** Makes the feature messages of one device. */
class BatchEncoder(private val manifest: Manifest, private val device: String) {
    /**
     * Return the fewest even parts that fit `maxBytes` each, in order.
     *
     * The first labels.size rows of the result are sent; labels and predictions stand in the slots
     * of `classes`. All parts share the rows' scales, so together they are exactly the rows
     * quantized whole. Throws ProtocolException if training diverged, ConfigException if one sample
     * is too large or there are more labels than rows.
     */
    fun encode(
        result: StepResult,
        labels: IntArray,
        classes: WireClasses,
        edgeStep: Long,
        purpose: FeatureBatch.Purpose = FeatureBatch.Purpose.TRAIN,
        maxBytes: Int = MAX_MESSAGE_BYTES,
    ): List<FeatureBatch> {
        if (!result.loss.isFinite()) {
            throw ProtocolException("the early exit's loss is not finite: training diverged: start from the bundle again")
        }
        val rows = result.features.size / manifest.features.values
        if (labels.isEmpty() || labels.size > rows) {
            throw ConfigException("${labels.size} labels for a step of $rows images: give 1 to $rows")
        }
        val predicted = predictions(result.logits, labels.size, manifest.classes.capacity)
        val newClasses = mutableListOf<String>()
        val labelsOnWire = labels.map { classes.onWire(it, newClasses) }
        val predictedOnWire = predicted.map { classes.onWire(it, newClasses) }
        val quantized = quantize(result.features, manifest.features.of(labels.size), manifest.features.bits)
        val header = FeatureBatch.newBuilder()
            .setBundleId(manifest.bundleId)
            .setDevice(device)
            .setEdgeStep(edgeStep)
            .setClassMapVersion(classes.mapVersion)
            .setPurpose(purpose)
            .setEarlyExitLoss(result.loss)
            .addAllNewClasses(newClasses)
            .build()
        val parts = parts(header, Samples(quantized, labelsOnWire, predictedOnWire), maxBytes)
        if (largest(parts) > maxBytes) {
            throw ConfigException(
                "the features of one image take ${largest(parts)} bytes, a message holds $maxBytes: " +
                    "export with fewer bits or a deeper separation point",
            )
        }
        return parts
    }
}

/**
 * Split a stored message along N into the fewest even parts that fit; none if one sample does not.
 *
 * Together they are exactly the message; each still wants a number of its own. Throws
 * ProtocolException if the message breaks the contract.
 */
fun split(message: ByteArray, maxBytes: Int): List<FeatureBatch> {
    val whole = parseBounded(FeatureBatch.parser(), message, "a message in the spool", MAX_STORED_BYTES)
    if (whole.shapeCount != 4 || whole.labelsCount != whole.getShape(0) || whole.earlyExitCount != whole.getShape(0)) {
        throw ProtocolException("a message in the spool has not one label for each sample")
    }
    val (count, channels, height, width) = whole.shapeList
    val features = decode(whole.features, FeatureShape(count, channels, height, width))
    val header = whole.toBuilder().clearShape().clearFeatures().clearLabels().clearEarlyExit().build()
    val parts = parts(header, Samples(features, whole.labelsList, whole.earlyExitList), maxBytes)
    return if (largest(parts) <= maxBytes) parts else emptyList()
}

private class Samples(val features: Quantized, val labels: List<Int>, val earlyExit: List<Int>) {
    val count: Int get() = features.shape.count
}

/** Return each row's likeliest slot; logits: (N or more, class slots). */
private fun predictions(logits: FloatArray, count: Int, capacity: Int) = IntArray(count) { row ->
    var best = 0
    for (slot in 1 until capacity) if (logits[row * capacity + slot] > logits[row * capacity + best]) best = slot
    best
}

/** Return the fewest even parts that fit; one for each sample if even those do not. */
private fun parts(header: FeatureBatch, samples: Samples, maxBytes: Int): List<FeatureBatch> {
    val count = samples.count
    var parts = (count + MAX_SAMPLES - 1) / MAX_SAMPLES
    while (true) {
        val messages = List(parts) {
            part(header, samples, edge(count, it, parts), edge(count, it + 1, parts))
        }
        if (parts == count || largest(messages) <= maxBytes) return messages
        val wanted = messages.sumOf { size(it).toLong() } / maxOf(1, maxBytes)
        parts = minOf(count.toLong(), maxOf(parts + 1L, wanted)).toInt()
    }
}

private fun edge(count: Int, part: Int, parts: Int): Int = (count.toLong() * part / parts).toInt()

private fun part(header: FeatureBatch, samples: Samples, start: Int, stop: Int): FeatureBatch {
    val rows = samples.features.rows(start, stop)
    return header.toBuilder()
        .addAllShape(rows.shape.toList())
        .setFeatures(encode(rows))
        .addAllLabels(samples.labels.subList(start, stop))
        .addAllEarlyExit(samples.earlyExit.subList(start, stop))
        .build()
}

private fun largest(messages: List<FeatureBatch>): Int = messages.maxOf(::size)

private fun size(message: FeatureBatch): Int = message.serializedSize + ENVELOPE_BYTES
