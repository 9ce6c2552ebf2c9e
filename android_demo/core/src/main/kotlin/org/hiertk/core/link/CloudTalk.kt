/** What phone and cloud say to each other while there is a link: features and acks, status, classes, questions. */
package org.hiertk.core.link

import java.util.concurrent.atomic.AtomicReference
import org.hiertk.core.ProtocolException
import org.hiertk.core.StorageException
import org.hiertk.core.classes.parseClassMap
import org.hiertk.core.messages.oneLine
import org.hiertk.core.messages.parseAck
import org.hiertk.core.spool.Spool
import org.hiertk.protocol.ModelStatus

private const val REASON_LETTERS = 200
private const val OFFLINE = "the cloud is offline"

/** The talk with the cloud. For the session's thread only, but for `heard`. */
internal class CloudTalk(
    private val topics: Topics,
    spool: Spool,
    private val wire: Wire,
    private val classes: ClassLink?,
    private val problems: Problems,
    private val inbox: Inbox,
) : KeeperOwner {
    private val cloud = CloudView()
    private val questions = Questions(topics.predictReply)
    private val asking = classes?.let { ClassAsking(it, topics.classReply, problems, ::askForClass) }
    private val classMap = AtomicReference<ByteArray>() // the newest that nobody has looked at yet
    private var brokerLimits = BrokerLimits()
    private var isUp = false

    val sender = Sender(spool, wire, topics.features, problems) { inbox.put(it) }
    val teller = StatusTeller(topics.status, spool, wire, sender, problems)

    /** What the cloud says of its training; null while it is out of reach. */
    val model: ModelStatus? get() = cloud.model

    /** The largest feature message that cloud and broker take, as far as it is known. */
    val maxMessageBytes: Int
        get() = minOf(cloud.maxMessageBytes, largestPayload(topics.features, brokerLimits.packetBytes))

    /** What the broker is asked for. */
    val subscriptions: List<String>
        get() = listOf(topics.ack, topics.model, topics.predictReply) +
            if (classes == null) emptyList() else listOf(topics.classMap, topics.classReply)

    /** When to look again, even if nothing happens. */
    val due: Long
        get() = if (!isUp) questions.due else minOf(sender.due, teller.due, questions.due, classesDue)

    private val classesDue: Long get() = if (cloud.isOnline) asking?.due ?: NEVER else NEVER

    override fun cameUp(limits: BrokerLimits) {
        isUp = true
        brokerLimits = limits
        teller.startOver()
        startOver()
    }

    override fun wentDown() {
        isUp = false
        cloud.lose()
        questions.giveUp(OFFLINE)
        startOver()
    }

    override fun heard(incoming: Incoming) {
        wire.heard(incoming)
        when (incoming.topic) {
            topics.ack -> inbox.putMessage { takeAck(incoming.payload) }
            topics.model -> inbox.putMessage { takeModel(incoming.payload) }
            topics.predictReply -> inbox.putMessage { questions.take(incoming) }
            topics.classReply -> inbox.putMessage { asking?.take(incoming, monotonicMillis()) }
            topics.classMap -> { // not by the queue, where a flood might push it out: it does not come again
                classMap.set(incoming.payload)
                inbox.wake()
            }
        }
    }

    /** Do what is due while the link is up. Throws StorageException. */
    fun work(now: Long) {
        sender.sendAgainIfLate(now)
        if (cloud.isOnline) {
            sender.sendWhatFits(maxMessageBytes, now)
            asking?.askIfDue(now)
        }
        teller.tellIfDue(now)
    }

    /** Look at what came, and whose time is over; with or without a link. */
    fun look(now: Long) {
        takeClassMap()
        questions.expire(now)
    }

    fun ask(question: Question) = questions.ask(question, monotonicMillis()) { send(question, it) }

    /** End all questions. */
    fun giveUp(why: String) = questions.giveUp(why)

    private fun startOver() = sender.startOver(brokerLimits.unacknowledged)

    private fun send(question: Question, request: Request): String? {
        val message = Outgoing(topics.predict, question.payload, request = request)
        return when {
            !cloud.isOnline -> OFFLINE
            packetBytes(message) > brokerLimits.packetBytes ->
                "the broker takes no request of ${question.payload.size} bytes"
            !wire.fits(packetBytes(message)) -> "the daily budget is used up"
            !wire.publish(message) -> OFFLINE
            else -> null
        }
    }

    private fun askForClass(payload: ByteArray, request: Request) {
        val message = Outgoing(topics.classRequest, payload, request = request)
        if (wire.fits(packetBytes(message))) wire.publish(message)
    }

    private fun takeModel(payload: ByteArray) {
        if (!cloud.take(payload)) return
        if (cloud.isOnline) asking?.startOver() else questions.giveUp(OFFLINE)
        startOver()
    }

    private fun takeAck(payload: ByteArray) {
        for (reason in sender.acknowledge(parseAck(payload), monotonicMillis())) {
            problems.tell("the cloud refused a message: ${oneLine(reason, REASON_LETTERS)}")
        }
    }

    private fun takeClassMap() {
        val payload = classMap.getAndSet(null) ?: return
        try {
            classes?.hand?.invoke(parseClassMap(payload))
        } catch (error: ProtocolException) {
            classes?.ignore?.invoke(error.message.orEmpty())
            problems.tell("ignored from the broker: ${error.message}")
        } catch (error: StorageException) {
            classMap.compareAndSet(null, payload) // tried again with the next turn
            throw error
        }
    }
}
