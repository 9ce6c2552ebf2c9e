/**
 * The phone's session with the cloud: one thread that connects, empties the spool, tells the status,
 * follows the classes and asks for predictions.
 *
 * Learning never waits for it. What comes from the broker is only noted by the transport's thread and
 * handled here, so that no message can end the link.
 */
package org.hiertk.core.link

import java.nio.file.Path
import kotlin.concurrent.thread
import org.hiertk.core.HierTkException
import org.hiertk.core.ProtocolException
import org.hiertk.core.messages.MAX_MESSAGE_BYTES
import org.hiertk.core.spool.Spool
import org.hiertk.protocol.DeviceStatus

private const val PACKET_OVERHEAD = 1024
private const val FIRST_RETRY_MILLIS = 500L
private const val LAST_RETRY_MILLIS = 60_000L
private const val LAST_ACKS_MILLIS = 10_000L
private const val LOOK_AT_BUDGET_MILLIS = 60_000L
private const val STOP_AT_MOST_MILLIS = 5_000L
private const val STOPPING = "the phone is stopping"

/** Whose session it is. deployment: the bundle's. budgetFile: the data budget's book, made if it is missing. */
class SessionSettings(val deployment: String, val device: String, val budgetFile: Path)

/**
 * Keeps the link. Any thread may call it.
 *
 * classes: null: class maps are not looked at, and no slots asked for. changed: the snapshot is another;
 * called in the session's thread, must be quick. Throws ConfigException for unusable names,
 * StorageException.
 */
class Session(
    settings: SessionSettings,
    transport: MqttTransport,
    private val spool: Spool,
    classes: ClassLink? = null,
    limits: LinkLimits = LinkLimits(),
    network: NetworkKind = NetworkKind.WIFI,
    private val changed: () -> Unit = {},
) : AutoCloseable {
    private val book = WireBook(settings.budgetFile)
    private val wire = Wire(transport, book)
    private val problems = Problems()
    private val inbox = Inbox()
    private val topics = Topics(settings.deployment, settings.device)
    private val talk = CloudTalk(topics, spool, wire, classes, problems, inbox)
    private val keeper = LinkKeeper(
        transport,
        Hello(
            clientId = "hiertk-${settings.deployment}-${settings.device}",
            subscriptions = talk.subscriptions,
            will = Outgoing(topics.status, statusOfTheWill().toByteArray(), retain = true),
            maxPacketBytes = MAX_MESSAGE_BYTES + PACKET_OVERHEAD,
        ),
        talk,
        problems,
    ) { inbox.put(it) }
    private val thread = thread(start = false, isDaemon = true, name = "hiertk-link", block = ::run)
    private var budgetUsedUpSince: Long? = null
    private var retryMillis = FIRST_RETRY_MILLIS

    // Replaced by other threads, never changed:
    @Volatile private var limits = limits
    @Volatile private var network = network
    @Volatile private var stopState: DeviceStatus.State? = null

    /** The link now. */
    @Volatile
    var snapshot = LinkSnapshot(LinkState.DISCONNECTED)
        private set

    /** The largest feature message that cloud and broker take, as far as it is known. */
    @Volatile
    var maxMessageBytes = MAX_MESSAGE_BYTES
        private set

    /** Begin to connect and to send; returns at once. */
    fun start() = thread.start()

    /** Tell the learning part's part of the status; spool and link fill in theirs. */
    fun report(status: DeviceStatus) {
        talk.teller.report = status
        inbox.wake()
    }

    /** Look at once for what is new in the spool, and for names that want a slot. */
    fun wake() = inbox.wake()

    /** Set what the link may take from now on. */
    fun limit(limits: LinkLimits) {
        this.limits = limits
        inbox.wake()
    }

    /** Tell what the phone is connected to now. */
    fun network(kind: NetworkKind) {
        if (kind == network) return
        network = kind
        inbox.put(keeper::changeNetwork)
    }

    /** Try to connect now, without waiting for the backoff. */
    fun retryNow() {
        inbox.put(keeper::hurry)
    }

    /**
     * Send a prediction request; it goes ahead of features that wait.
     *
     * answer: called once in the session's thread, within the deadline; must be quick.
     */
    fun ask(payload: ByteArray, deadlineMillis: Long, answer: (Reply) -> Unit) {
        val question = Question(payload, deadlineMillis, monotonicMillis() + deadlineMillis, answer)
        if (!inbox.put { talk.ask(question) }) answer(Reply.None(STOPPING))
    }

    /** Publish the last status with this state, disconnect, and end the thread; takes a few seconds at most. */
    fun stop(state: DeviceStatus.State = DeviceStatus.State.OFFLINE) {
        inbox.close() // first, so that nothing is put in that nobody takes out
        stopState = stopState ?: state
        if (Thread.currentThread() != thread) thread.join(STOP_AT_MOST_MILLIS)
    }

    override fun close() = stop()

    private fun run() {
        while (stopState == null) takeATurn()
        inbox.take().forEach { handle(it) }
        talk.giveUp(STOPPING)
        sayGoodbye(stopState ?: DeviceStatus.State.OFFLINE)
        keeper.leave()
        storing { book.flush() }
        show()
    }

    private fun takeATurn() {
        val areHandled = inbox.take().map { handle(it) } // all of them, whatever one of them meets
        val isWorkDone = storing {
            val now = monotonicMillis()
            talk.look(now)
            lookAtTheLink(now)
            if (keeper.isUp && budgetUsedUpSince == null) talk.work(now)
            book.flushIfDue(now)
        }
        val isSound = isWorkDone && false !in areHandled
        if (isSound) problems.end("storage")
        show()
        inbox.await(if (isSound) nextLook() else monotonicMillis() + retryMillis)
        retryMillis = if (isSound) FIRST_RETRY_MILLIS else minOf(2 * retryMillis, LAST_RETRY_MILLIS)
    }

    private fun nextLook(): Long {
        val atBudget = if (limits.bytesPerDay > 0) monotonicMillis() + LOOK_AT_BUDGET_MILLIS else NEVER
        val ofTalk = budgetUsedUpSince?.plus(LAST_ACKS_MILLIS) ?: talk.due
        return minOf(keeper.due, ofTalk, atBudget)
    }

    private fun lookAtTheLink(now: Long) {
        wire.bytesPerDay = limits.bytesPerDay
        val found = obstacle(network, limits, wire.day(), talk.sender.nextPacketBytes(), keeper.isUp)
        val isLingering = found == Obstacle.BUDGET_USED_UP && acksMayCome(now)
        if (!isLingering) budgetUsedUpSince = null
        when {
            isLingering -> return
            found == null -> keeper.look(now)
            found != keeper.waitsFor ->
                keeper.waitFor(found, obstacleText(found, limits)) { sayGoodbye(DeviceStatus.State.OFFLINE) }
        }
        maxMessageBytes = talk.maxMessageBytes
    }

    /** Whether to stay for the acks of what is on its way: it would have to be sent again. */
    private fun acksMayCome(now: Long): Boolean {
        if (!keeper.isUp || talk.sender.inFlight == 0) return false
        val since = budgetUsedUpSince ?: now.also { budgetUsedUpSince = it }
        return now - since < LAST_ACKS_MILLIS
    }

    private fun sayGoodbye(state: DeviceStatus.State) =
        keeper.sayGoodbye { done -> wire.publish(talk.teller.lastWords(state), done) }

    private fun handle(event: () -> Unit): Boolean = storing {
        try {
            event()
        } catch (error: ProtocolException) {
            problems.tell("ignored from the broker: ${error.message}")
        }
    }

    /** Do what may fail for the disk's sake; return whether it did not. Learning goes on. */
    private fun storing(work: () -> Unit): Boolean = try {
        work()
        true
    } catch (error: HierTkException) {
        problems.begin("storage", "nothing is sent: ${error.message}")
        false
    }

    private fun show() {
        val totals = spool.totals
        val isOnline = keeper.isUp && talk.model != null
        val now = LinkSnapshot(
            state = keeper.state,
            waitsFor = keeper.waitsFor,
            reason = keeper.reason,
            sinceMillis = keeper.sinceMillis,
            cloudIsOnline = isOnline,
            model = talk.model.takeIf { isOnline },
            dayBytes = wire.day(),
            budgetLeft = wire.left(),
            spooled = totals.held,
            spooledBytes = totals.heldBytes,
            inFlight = talk.sender.inFlight,
            sentTotal = talk.sender.sentTotal,
            refusedTotal = totals.refused,
            problems = problems.lines,
            lastError = problems.newest,
        )
        if (now != snapshot) {
            snapshot = now
            changed()
        }
    }
}
