/** Questions to the cloud that wait for their reply, each until its deadline. */
package org.hiertk.core.link

import com.google.protobuf.ByteString
import java.security.SecureRandom

private const val MOST_AT_ONCE = 8
private const val CORRELATION_BYTES = 8
private val random = SecureRandom()

/** Bytes that no other request of this device has. */
internal fun newCorrelation(): ByteArray = ByteArray(CORRELATION_BYTES).also(random::nextBytes)

/** What the cloud answered to a question, or why there is no answer: a few words. */
sealed class Reply {
    class Came(val payload: ByteArray) : Reply()

    class None(val why: String) : Reply()
}

/** A question on its way. deadline: of the monotonic clock. answer: called once. */
internal class Question(
    val payload: ByteArray,
    val deadlineMillis: Long,
    val deadline: Long,
    val answer: (Reply) -> Unit,
)

/** The questions on their way, by correlation. For the session's thread only. */
internal class Questions(private val replyTo: String) {
    private val waiting = LinkedHashMap<ByteString, Question>()

    /** When the next one's time is over. */
    val due: Long get() = waiting.values.minOfOrNull { it.deadline } ?: NEVER

    /** Send a question. send: publishes it, or returns why it cannot. */
    fun ask(question: Question, now: Long, send: (Request) -> String?) {
        val left = question.deadline - now
        if (left <= 0) return question.answer(tooLate(question))
        if (waiting.size >= MOST_AT_ONCE) {
            return question.answer(Reply.None("$MOST_AT_ONCE questions wait for the cloud already"))
        }
        val correlation = newCorrelation()
        val why = send(Request(correlation, replyTo, maxOf(1, (left + 999) / 1000)))
        if (why != null) return question.answer(Reply.None(why))
        waiting[ByteString.copyFrom(correlation)] = question
    }

    /** Hand a reply to who waits for it; one that nobody waits for is ignored. */
    fun take(incoming: Incoming) {
        waiting.remove(ByteString.copyFrom(incoming.correlation))?.answer?.invoke(Reply.Came(incoming.payload))
    }

    /** End those whose time is over. */
    fun expire(now: Long) {
        val late = waiting.filterValues { it.deadline <= now }
        late.forEach { (correlation, question) ->
            waiting.remove(correlation)
            question.answer(tooLate(question))
        }
    }

    /** End all that wait. */
    fun giveUp(why: String) {
        val ended = waiting.values.toList()
        waiting.clear()
        ended.forEach { it.answer(Reply.None(why)) }
    }
}

private fun tooLate(question: Question) = Reply.None("no answer within ${question.deadlineMillis} ms")
