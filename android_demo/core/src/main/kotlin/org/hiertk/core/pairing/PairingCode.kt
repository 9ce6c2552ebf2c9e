/** The text of a pairing QR code: `hiertk:1:` and one JSON object. */
package org.hiertk.core.pairing

import kotlinx.serialization.DeserializationStrategy
import kotlinx.serialization.ExperimentalSerializationApi
import kotlinx.serialization.SerializationException
import kotlinx.serialization.builtins.serializer
import kotlinx.serialization.descriptors.mapSerialDescriptor
import kotlinx.serialization.encoding.CompositeDecoder
import kotlinx.serialization.encoding.Decoder
import kotlinx.serialization.encoding.decodeStructure
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonPrimitive
import org.hiertk.core.ConfigException

private const val MAX_LETTERS = 2_953 // of the largest QR code
private const val SCHEME = "hiertk:"
private const val VERSION = "1:"

/** Parse what a QR code says. Throws ConfigException, which never repeats the password. */
fun parsePairing(text: String): Pairing {
    if (text.length > 2 * MAX_LETTERS) throw notOurs()
    val code = text.trim()
    if (code.length > MAX_LETTERS || !code.startsWith(SCHEME)) throw notOurs()
    val rest = code.removePrefix(SCHEME)
    if (!rest.startsWith(VERSION)) {
        if (Regex("[0-9]{1,9}:.*", RegexOption.DOT_MATCHES_ALL).matches(rest)) {
            throw ConfigException("this code was made by a newer HierTK: update the app")
        }
        throw notOurs()
    }
    if (code.any { it > '\u007e' }) throw damaged()
    return pairing(fieldsOf(rest.removePrefix(VERSION)))
}

private fun pairing(fields: Map<String, JsonElement>) = Pairing.of(
    broker = exact(fields, "broker"),
    device = exact(fields, "device"),
    deployment = exact(fields, "deployment"),
    password = exact(fields, "password"),
    ca = exact(fields, "ca"),
)

/** Return a field that is text without white space around it: here nobody typed. */
private fun exact(fields: Map<String, JsonElement>, key: String): String {
    val value = fields[key]
    if (value !is JsonPrimitive || !value.isString) {
        throw ConfigException("this HierTK code has no $key: show a new one with `hiertk-cloud pair`")
    }
    if (value.content != value.content.trim()) throw damaged()
    return value.content
}

private fun fieldsOf(json: String): Map<String, JsonElement> = try {
    Json.decodeFromString(FieldsOnce, json)
} catch (error: SerializationException) {
    throw ConfigException(damaged().message.orEmpty(), error)
}

private fun notOurs() = ConfigException("this is not a HierTK code: scan the one that `hiertk-cloud pair` shows")

private fun damaged() = ConfigException("this HierTK code is damaged: show a new one with `hiertk-cloud pair`")

/** Reads a JSON object in which no key is there twice. */
private object FieldsOnce : DeserializationStrategy<Map<String, JsonElement>> {
    @OptIn(ExperimentalSerializationApi::class)
    override val descriptor = mapSerialDescriptor(String.serializer().descriptor, JsonElement.serializer().descriptor)

    override fun deserialize(decoder: Decoder): Map<String, JsonElement> = decoder.decodeStructure(descriptor) {
        val fields = LinkedHashMap<String, JsonElement>()
        while (true) {
            val index = decodeElementIndex(descriptor)
            if (index == CompositeDecoder.DECODE_DONE) break
            val key = decodeStringElement(descriptor, index)
            val at = decodeElementIndex(descriptor)
            val value = decodeSerializableElement(descriptor, at, JsonElement.serializer())
            if (fields.put(key, value) != null) throw SerializationException("a key is there twice")
        }
        fields
    }
}
