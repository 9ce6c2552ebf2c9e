/** Asking the final exit: a request's features, and the probabilities or the refusal in its reply. */
package org.hiertk.core.messages

import kotlin.math.abs
import org.hiertk.core.ProtocolException
import org.hiertk.core.bundle.Manifest
import org.hiertk.core.codec.Quantized
import org.hiertk.core.codec.encode
import org.hiertk.protocol.PredictReply
import org.hiertk.protocol.PredictRequest

/** The most samples that one request may ask about. */
const val MAX_PREDICT_SAMPLES = 16
private const val REPLY_ENVELOPE_BYTES = 2048
private const val LARGEST_STEP = 1L shl 62
private const val SUM_TOLERANCE = 1e-3 // of 4096 float32 probabilities

/** What the cloud answers to a prediction request. */
sealed class PredictAnswer {
    /** probabilities: (N, class slots), 0 where a slot is closed; cloudStep: the model that gave them. */
    class FinalExit(val cloudStep: Long, val probabilities: FloatArray) : PredictAnswer()

    /** Why there are none, in a line. */
    data class Refused(val reason: String) : PredictAnswer()
}

/** What a deployment's prediction requests and their replies are like. */
class PredictionContract(private val manifest: Manifest) {
    private val capacity = manifest.classes.capacity

    /** Return the request for features of up to 16 samples. Throws ProtocolException for others. */
    fun request(features: Quantized): ByteArray {
        val shape = features.shape
        if (shape.toList().drop(1) != manifest.features.shape || shape.count > MAX_PREDICT_SAMPLES) {
            throw ProtocolException(
                "prediction request: shape ${shape.toList()} is not 1 to $MAX_PREDICT_SAMPLES of ${manifest.features.shape}",
            )
        }
        return PredictRequest.newBuilder()
            .setBundleId(manifest.bundleId)
            .addAllShape(shape.toList())
            .setFeatures(encode(features))
            .build()
            .toByteArray()
    }

    /** Return what the reply to a request of so many samples says. Throws ProtocolException. */
    fun readReply(payload: ByteArray, samples: Int): PredictAnswer {
        val values = samples * capacity
        val limit = 4 * values + REPLY_ENVELOPE_BYTES
        val message = parseBounded(PredictReply.parser(), payload, "prediction reply", limit)
        if (message.error.isNotEmpty()) return PredictAnswer.Refused(oneLine(message.error, MAX_ERROR_LETTERS))
        if (message.cloudStep !in 0..LARGEST_STEP) {
            throw ProtocolException("prediction reply: cloud step ${message.cloudStep.toULong()}")
        }
        if (message.probabilitiesCount != values) {
            throw ProtocolException(
                "prediction reply: ${message.probabilitiesCount} probabilities for $samples samples of $capacity slots",
            )
        }
        val probabilities = FloatArray(values) { message.getProbabilities(it) }
        for (sample in 0 until samples) checkRow(probabilities, sample * capacity)
        return PredictAnswer.FinalExit(message.cloudStep, probabilities)
    }

    private fun checkRow(probabilities: FloatArray, start: Int) {
        var sum = 0.0
        for (index in start until start + capacity) {
            val one = probabilities[index]
            if (!(one >= 0f && one <= 1f)) { // a NaN compares as false
                throw ProtocolException("prediction reply: a probability is not between 0 and 1")
            }
            sum += one
        }
        if (abs(sum - 1) > SUM_TOLERANCE) {
            throw ProtocolException("prediction reply: the probabilities do not sum to 1")
        }
    }
}
