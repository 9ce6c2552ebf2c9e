/**
 * Asks the cloud for the slots of provisional classes, by name.
 *
 * A reply changes nothing here: the slot that it gives is in the class map that comes with it, and
 * only a map is put in place. So a lost reply is harmless, and a class is asked for until a map has it.
 */
package org.hiertk.core.link

import org.hiertk.core.classes.ClassMap
import org.hiertk.core.messages.ClassAnswer
import org.hiertk.core.messages.ClassContract

private const val FIRST_WAIT_MILLIS = 2_000L
private const val LONGEST_WAIT_MILLIS = 60_000L
private const val REFUSED_WAIT_MILLIS = 60_000L
private const val LONGEST_REFUSED_WAIT_MILLIS = 3_600_000L
private const val EXPIRES_SECONDS = 60L
private const val SHOWN_LETTERS = 80

/**
 * What the session needs of the device's classes; all are called in its thread and must be quick.
 *
 * provisional: the names that want a slot. hand: takes a class map. ignore: is told of one that is none.
 */
class ClassLink(
    val contract: ClassContract,
    val provisional: () -> List<String>,
    val hand: (ClassMap) -> Unit,
    val ignore: (reason: String) -> Unit,
)

private class Asked(var correlation: ByteArray, var waitMillis: Long, var due: Long)

/** The names that were asked for, and when each may be again. For the session's thread only. */
internal class ClassAsking(
    private val link: ClassLink,
    private val replyTo: String,
    private val problems: Problems,
    private val publish: (ByteArray, Request) -> Unit,
) {
    private val asked = LinkedHashMap<String, Asked>()

    /** When the next request may go. */
    val due: Long get() = link.provisional().minOfOrNull { asked[it]?.due ?: 0L } ?: NEVER

    /** Ask at once: the cloud came, or is another one. */
    fun startOver() = asked.values.forEach {
        it.waitMillis = FIRST_WAIT_MILLIS
        it.due = 0
    }

    /** Ask for what has no slot yet, and forget what has one. */
    fun askIfDue(now: Long) {
        val names = link.provisional()
        (asked.keys - names.toSet()).forEach { name ->
            asked.remove(name)
            problems.end(problemOf(name))
        }
        for (name in names) {
            val one = asked.getOrPut(name) { Asked(ByteArray(0), FIRST_WAIT_MILLIS, 0) }
            if (now >= one.due) ask(name, one, now)
        }
    }

    /** Take a reply; one that was not asked for is ignored. Throws ProtocolException if it breaks the contract. */
    fun take(incoming: Incoming, now: Long) {
        if (incoming.correlation.isEmpty()) return
        val found = asked.entries.firstOrNull { it.value.correlation.contentEquals(incoming.correlation) } ?: return
        when (val answer = link.contract.readReply(incoming.payload)) {
            is ClassAnswer.Given -> problems.end(problemOf(found.key))
            is ClassAnswer.Refused -> refuse(found.key, found.value, answer.reason, now)
        }
    }

    private fun ask(name: String, one: Asked, now: Long) {
        one.due = now + one.waitMillis
        one.waitMillis = maxOf(one.waitMillis, minOf(2 * one.waitMillis, LONGEST_WAIT_MILLIS))
        one.correlation = newCorrelation()
        publish(link.contract.request(name), Request(one.correlation, replyTo, EXPIRES_SECONDS))
    }

    private fun refuse(name: String, one: Asked, reason: String, now: Long) {
        one.waitMillis = minOf(maxOf(2 * one.waitMillis, REFUSED_WAIT_MILLIS), LONGEST_REFUSED_WAIT_MILLIS)
        one.due = now + one.waitMillis
        problems.begin(
            problemOf(name),
            "the cloud gives class '${name.take(SHOWN_LETTERS)}' no slot: $reason: the phone trains it " +
                "under a slot of its own, and asks again",
        )
    }
}

private fun problemOf(name: String) = "slot of class $name"
