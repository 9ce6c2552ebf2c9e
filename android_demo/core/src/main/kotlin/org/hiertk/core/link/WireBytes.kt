/** What messages take on the wire: whole PUBLISH packets of MQTT 5, not what TLS, TCP and IP add. */
package org.hiertk.core.link

/** What a PUBACK takes. */
internal const val PUBACK_BYTES = 4

/** Return the bytes of a message's PUBLISH packet at QoS 1. */
internal fun packetBytes(message: Outgoing): Int =
    packetBytes(message.topic, message.payload.size, requestBytes(message.request))

/** Return the bytes of an incoming message's PUBLISH packet. */
internal fun packetBytes(message: Incoming): Int {
    val properties = if (message.correlation.isEmpty()) 0 else 3 + message.correlation.size
    return packetBytes(message.topic, message.payload.size, properties)
}

/** Return the bytes of a PUBLISH packet. payload, properties: their bytes. */
internal fun packetBytes(topic: String, payload: Int, properties: Int = 0): Int {
    val remaining = 2 + topic.length + 2 + lengthBytes(properties) + properties + payload
    return 1 + lengthBytes(remaining) + remaining
}

/** Return the payload bytes that fit a packet of so many. */
internal fun largestPayload(topic: String, packet: Int): Int =
    packet - packetBytes(topic, 0) - 3 // the length itself takes up to 4 bytes

private fun requestBytes(request: Request?): Int {
    if (request == null) return 0
    val replyTo = if (request.replyTo.isEmpty()) 0 else 3 + request.replyTo.length
    return 3 + request.correlation.size + 5 + replyTo
}

/** Return how many bytes MQTT writes a length in: seven bits each. */
private fun lengthBytes(value: Int): Int = maxOf(1, (32 - value.countLeadingZeroBits() + 6) / 7)
