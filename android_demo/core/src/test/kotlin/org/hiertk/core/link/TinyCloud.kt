/** A small cloud for tests of the phone's side: it keeps what it receives in memory and acknowledges it. */
package org.hiertk.core.link

import java.util.concurrent.CopyOnWriteArrayList
import org.hiertk.core.classes.ClassMap
import org.hiertk.core.classes.toMessage
import org.hiertk.protocol.Ack
import org.hiertk.protocol.ClassReply
import org.hiertk.protocol.ClassRequest
import org.hiertk.protocol.DeviceStatus
import org.hiertk.protocol.FeatureBatch
import org.hiertk.protocol.ModelStatus
import org.hiertk.protocol.PredictReply
import org.hiertk.protocol.Refusal

/**
 * Online from its beginning to `close`; its retained status says so.
 *
 * received: the sequence numbers in their order, repeats too. refused: reasons by number. answers: the
 * reply to a prediction request; null: silence. slotError: why no class gets a slot; empty: `map` has it.
 */
class TinyCloud(
    private val address: BrokerAddress,
    private val topics: Topics,
    acknowledges: Boolean = true,
    private val refused: Map<Long, String> = emptyMap(),
    private val maxMessageBytes: Int = 0,
    @Volatile var answers: PredictReply? = null,
    @Volatile var slotError: String = "",
    @Volatile var map: ClassMap? = null,
) : AutoCloseable {
    val received = CopyOnWriteArrayList<Long>()
    val statuses = CopyOnWriteArrayList<DeviceStatus>()
    val asked = CopyOnWriteArrayList<String>()
    private val stored = sortedSetOf<Long>()
    private var through = 0L
    private val heard = Listening()
    private val transport = HiveMqTransport(address)

    /** Whether it acknowledges what comes from now on; what is in `received` was taken as it was before. */
    var acknowledges = acknowledges
        set(value) = synchronized(stored) { field = value }

    init {
        val offline = ModelStatus.newBuilder().setIncarnation(1).build().toByteArray()
        val wanted = listOf(topics.features, topics.status, topics.predict, topics.classRequest)
        val events = object : TransportEvents by heard {
            override fun message(incoming: Incoming) = take(incoming)
        }
        val will = Outgoing(topics.model, offline, retain = true)
        transport.connect(Hello("cloud-${topics.features.hashCode()}", wanted, will, 1 shl 20), events)
        heard.awaitUp()
        say(ModelStatus.State.ONLINE, incarnation = 1)
    }

    fun say(state: ModelStatus.State, incarnation: Long) {
        val status = ModelStatus.newBuilder()
            .setState(state)
            .setIncarnation(incarnation)
            .setMaxMessageBytes(maxMessageBytes)
        publish(topics.model, status.build().toByteArray())
    }

    /** Forget all that is not acknowledged, as a killed service does. */
    fun restart(acknowledges: Boolean) {
        this.acknowledges = acknowledges
        synchronized(stored) { stored.removeAll { it > through } }
        say(ModelStatus.State.ONLINE, incarnation = 2)
    }

    fun publish(topic: String, payload: ByteArray, retain: Boolean = true) {
        check(transport.publish(Outgoing(topic, payload, retain)))
    }

    override fun close() {
        say(ModelStatus.State.OFFLINE, incarnation = 1)
        Thread.sleep(50)
        transport.disconnect(withWill = false)
    }

    private fun take(incoming: Incoming) {
        when (incoming.topic) {
            topics.status -> statuses.add(DeviceStatus.parseFrom(incoming.payload))
            topics.features -> take(FeatureBatch.parseFrom(incoming.payload))
            topics.predict -> answers?.let { reply(topics.predictReply, it.toByteArray(), incoming) }
            topics.classRequest -> name(ClassRequest.parseFrom(incoming.payload).name, incoming)
        }
    }

    private fun take(batch: FeatureBatch) = synchronized(stored) {
        received.add(batch.seq)
        stored.add(batch.seq)
        if (acknowledges) {
            through = maxOf(through, batch.floor - 1)
            while (through + 1 in stored) through++
            val beyond = stored.filter { it > through }
            val ack = Ack.newBuilder().setEpoch(batch.epoch).setThrough(through).addAllBeyond(beyond)
            refused[batch.seq]?.let { ack.addRefused(Refusal.newBuilder().setSeq(batch.seq).setReason(it)) }
            publish(topics.ack, ack.build().toByteArray(), retain = false)
        }
    }

    private fun name(name: String, incoming: Incoming) {
        asked.add(name)
        val known = map
        val reply = ClassReply.newBuilder()
        if (known == null) {
            reply.setError(slotError.ifEmpty { "no" })
        } else {
            reply.setSlot(known.find(name)?.slot ?: 0).setVersion(known.version.toInt())
        }
        reply(topics.classReply, reply.build().toByteArray(), incoming)
        if (known != null) publish(topics.classMap, known.toMessage().toByteArray())
    }

    private fun reply(topic: String, payload: ByteArray, to: Incoming) {
        transport.publish(Outgoing(topic, payload, request = Request(to.correlation, "", 60)))
    }
}
