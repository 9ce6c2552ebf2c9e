/** The class map as the message down/classes: parsed and checked. */
package org.hiertk.core.classes

import org.hiertk.core.ProtocolException
import org.hiertk.core.bundle.MAX_CLASSES
import org.hiertk.core.messages.parseBounded
import org.hiertk.protocol.ClassMap as MapMessage
import org.hiertk.protocol.ClassSlot as SlotMessage

const val MAX_MAP_BYTES = 100 shl 10 // with its envelope below the strictest brokers' limit
private const val UINT32 = 0xffffffffL

/**
 * Parse and check a class map with slots below `capacity`. Throws ProtocolException.
 *
 * A device takes all that any bundle may have: the cloud may run one that was grown from the device's.
 */
fun parseClassMap(payload: ByteArray, capacity: Int = MAX_CLASSES): ClassMap {
    val message = parseBounded(MapMessage.parser(), payload, "class map", MAX_MAP_BYTES)
    return checkedMap(ClassMap(message.version.toLong() and UINT32, message.slotsList.map(::slotOf)), capacity)
}

/** Return a map with clean names. Throws ProtocolException for what no registry makes. */
internal fun checkedMap(map: ClassMap, capacity: Int): ClassMap {
    val clean = ClassMap(map.version, map.slots.map(::withCleanNames))
    if (clean.version !in FIRST_VERSION..UINT32) throw ProtocolException("class map: version ${clean.version}")
    val numbers = clean.slots.map { it.slot }
    if (numbers.zipWithNext().any { (one, next) -> one >= next }) {
        throw ProtocolException("class map: its slots are not in order below $capacity")
    }
    if (!areDifferent(clean.slots.flatMap { it.names })) throw ProtocolException("class map: a name is there twice")
    val origins = clean.slots.flatMap { it.origins }
    val areGiven = origins.all { (slot, since) ->
        slot in 0 until capacity && since in FIRST_VERSION..clean.version
    }
    if (!areGiven || !areDifferent(origins)) {
        throw ProtocolException("class map: a slot or an alias that no registry gives, of $capacity slots")
    }
    return clean
}

private fun slotOf(one: SlotMessage) = ClassSlot(
    one.slot,
    one.name,
    one.since.toLong() and UINT32,
    one.aliasesList.map { ClassAlias(it.name, it.slot, it.since.toLong() and UINT32) },
)

private fun withCleanNames(one: ClassSlot) = one.copy(
    name = cleanClassName(one.name),
    aliases = one.aliases.map { it.copy(name = cleanClassName(it.name)) },
)

private fun areDifferent(things: List<Any>) = things.toHashSet().size == things.size
