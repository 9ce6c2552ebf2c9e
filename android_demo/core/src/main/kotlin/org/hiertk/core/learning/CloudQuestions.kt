/** Asking the final exit over the link: features become a request, its reply probabilities. */
package org.hiertk.core.learning

import org.hiertk.core.ProtocolException
import org.hiertk.core.bundle.Manifest
import org.hiertk.core.codec.quantize
import org.hiertk.core.messages.PredictAnswer
import org.hiertk.core.messages.PredictionContract

/** Sends a request; `answer` comes once within the deadline: a reply's bytes, or null and why there are none. */
fun interface SendQuestion {
    fun send(payload: ByteArray, deadlineMillis: Long, answer: (reply: ByteArray?, why: String) -> Unit)
}

/** Asks about one image at a time. isLinked: whether the cloud is in reach, to tell no link from no answer. */
class CloudQuestions(
    manifest: Manifest,
    private val isLinked: () -> Boolean,
    private val link: SendQuestion,
) : AskCloud {
    private val contract = PredictionContract(manifest)
    private val shape = manifest.features.of(1)
    private val bits = manifest.features.bits

    override fun ask(features: FloatArray, deadlineMillis: Long, answer: (CloudReply) -> Unit) {
        if (!isLinked()) return answer(CloudReply.None(Why.NO_LINK))
        val request = try {
            contract.request(quantize(features, shape, bits))
        } catch (error: ProtocolException) {
            return answer(CloudReply.None(Why.REFUSED, error.message.orEmpty()))
        }
        link.send(request, deadlineMillis) { reply, why -> answer(read(reply, why)) }
    }

    private fun read(reply: ByteArray?, why: String): CloudReply {
        if (reply == null) return CloudReply.None(if (isLinked()) Why.NO_ANSWER else Why.NO_LINK, why)
        return try {
            when (val read = contract.readReply(reply, 1)) {
                is PredictAnswer.FinalExit -> CloudReply.Known(read.cloudStep, read.probabilities)
                is PredictAnswer.Refused -> CloudReply.None(Why.REFUSED, read.reason)
            }
        } catch (error: ProtocolException) {
            CloudReply.None(Why.REFUSED, error.message.orEmpty())
        }
    }
}
