/** What the session asks of an MQTT client: one connection at a time, MQTT 5, QoS 1, clean start. */
package org.hiertk.core.link

/** What makes a message a request. correlation: comes back with the reply, which goes to replyTo. */
class Request(val correlation: ByteArray, val replyTo: String, val expiresSeconds: Long)

/** A message to publish. */
class Outgoing(
    val topic: String,
    val payload: ByteArray,
    val retain: Boolean = false,
    val request: Request? = null,
)

/** A message that came. correlation: of the request that it answers; empty: of none. */
class Incoming(val topic: String, val payload: ByteArray, val correlation: ByteArray)

/**
 * What the broker of a connection takes, as it said.
 *
 * packetBytes: the largest packet. unacknowledged: messages that may wait for its PUBACK.
 */
class BrokerLimits(val packetBytes: Int = MAX_PACKET_BYTES, val unacknowledged: Int = MAX_UNACKNOWLEDGED) {
    companion object {
        const val MAX_PACKET_BYTES = 268_435_460 // MQTT's own bound
        const val MAX_UNACKNOWLEDGED = 65_535
    }
}

/** How a connection begins. will: what the broker publishes if it breaks. maxPacketBytes: the largest to come. */
class Hello(
    val clientId: String,
    val subscriptions: List<String>,
    val will: Outgoing,
    val maxPacketBytes: Int,
)

/** Why a connection is over. isRefusal: somebody has to mend something first. */
class Ending(val reason: String, val isRefusal: Boolean)

/** What becomes of one connection; called in the transport's thread, so each must be quick. */
interface TransportEvents {
    /** Connected and subscribed. */
    fun up(limits: BrokerLimits)

    fun message(incoming: Incoming)

    /** The connection is over, or never came about; once, and the last that is heard of it. */
    fun down(ending: Ending)
}

/** An MQTT client. */
interface MqttTransport {
    /** Begin to connect; returns at once, ends the connection before. */
    fun connect(hello: Hello, events: TransportEvents)

    /**
     * Hand a message over; false if the link is down.
     *
     * done: called once the broker has answered, with the reason if it refused; never if the link breaks before.
     */
    fun publish(message: Outgoing, done: (refusal: String?) -> Unit = {}): Boolean

    /** End the connection, if there is one; returns at once. withWill: the broker publishes the will. */
    fun disconnect(withWill: Boolean)
}
