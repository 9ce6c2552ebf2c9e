/** Parsing what comes from the network: bounded, and checked before anybody uses it. */
package org.hiertk.core.messages

import com.google.protobuf.InvalidProtocolBufferException
import com.google.protobuf.MessageLite
import com.google.protobuf.Parser
import org.hiertk.core.ProtocolException
import org.hiertk.protocol.Ack
import org.hiertk.protocol.ModelStatus

private const val MAX_ACK_BYTES = 1 shl 20
private const val MAX_STATUS_BYTES = 4096

/** Parse an ack. Throws ProtocolException. */
fun parseAck(payload: ByteArray): Ack = parseBounded(Ack.parser(), payload, "ack", MAX_ACK_BYTES)

/** Parse the cloud's status. Throws ProtocolException. */
fun parseModelStatus(payload: ByteArray): ModelStatus {
    val message = parseBounded(ModelStatus.parser(), payload, "model status", MAX_STATUS_BYTES)
    if (message.state == ModelStatus.State.UNRECOGNIZED) {
        throw ProtocolException("model status: state ${message.stateValue} is unknown")
    }
    return message
}

/** Parse bytes of up to `limit`, naming `what` they were to be. Throws ProtocolException. */
fun <T : MessageLite> parseBounded(parser: Parser<T>, payload: ByteArray, what: String, limit: Int): T {
    if (payload.size > limit) throw ProtocolException("$what: ${payload.size} bytes, more than $limit")
    try {
        return parser.parseFrom(payload)
    } catch (error: InvalidProtocolBufferException) {
        throw ProtocolException("$what: not a message of this protocol: ${error.message}", error)
    }
}

/** Return so many letters of a text from the network, without what no line can show. */
fun oneLine(text: String, letters: Int): String {
    val line = StringBuilder()
    var index = 0
    var taken = 0
    while (index < text.length && taken < letters) {
        val letter = text.codePointAt(index)
        index += Character.charCount(letter)
        taken++
        if (isShown(letter)) line.appendCodePoint(letter) else line.append(' ')
    }
    return line.toString().trim().replace(SPACES, " ").ifEmpty { "without a reason" }
}

private val SPACES = Regex(" +")

/** As Python's str.isprintable: no control, format, separator, surrogate, private or unassigned one. */
private fun isShown(letter: Int): Boolean = when (Character.getType(letter).toByte()) {
    Character.CONTROL, Character.FORMAT, Character.SURROGATE, Character.PRIVATE_USE, Character.UNASSIGNED,
    Character.LINE_SEPARATOR, Character.PARAGRAPH_SEPARATOR, Character.SPACE_SEPARATOR,
    -> false
    else -> true
}
