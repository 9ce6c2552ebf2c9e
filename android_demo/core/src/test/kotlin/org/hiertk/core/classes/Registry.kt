/** The cloud's class registry as far as the phone's tests need it: it makes one version after another. */
package org.hiertk.core.classes

import org.hiertk.protocol.ClassAlias as AliasMessage
import org.hiertk.protocol.ClassMap as MapMessage
import org.hiertk.protocol.ClassSlot as SlotMessage

/** Unlike the real one, it gives a free slot at once, without waiting for devices: the harder case. */
internal class Registry(names: List<String>, private val capacity: Int) {
    var map = exportedMap(names)
        private set

    /** Give the name the lowest free slot, unless it is known or there is none. */
    fun add(name: String) {
        val slot = (0 until capacity).firstOrNull { it !in map.bySlot }
        if (map.find(name) == null && slot != null) {
            next { slots, version -> slots + ClassSlot(slot, name, version) }
        }
    }

    /** Make one class another name of a second one. */
    fun merge(name: String, into: String) {
        val leaving = map.find(name)
        val staying = map.find(into)
        if (leaving == null || staying == null || leaving == staying) return
        val aliases = leaving.aliases + ClassAlias(leaving.name, leaving.slot, leaving.since)
        next { slots, _ -> slots - leaving - staying + staying.copy(aliases = staying.aliases + aliases) }
    }

    /** Take a class out. */
    fun retire(name: String) {
        val leaving = map.find(name) ?: return
        next { slots, _ -> slots - leaving }
    }

    private fun next(change: (List<ClassSlot>, Long) -> List<ClassSlot>) {
        val version = map.version + 1
        map = ClassMap(version, change(map.slots, version).sortedBy { it.slot })
    }
}

/** Return the message for down/classes. */
internal fun ClassMap.toMessage(): MapMessage {
    val message = MapMessage.newBuilder().setVersion(version.toInt())
    for (one in slots) {
        val slot = SlotMessage.newBuilder().setSlot(one.slot).setName(one.name).setSince(one.since.toInt())
        for (alias in one.aliases) {
            slot.addAliases(
                AliasMessage.newBuilder().setName(alias.name).setSlot(alias.slot).setSince(alias.since.toInt()),
            )
        }
        message.addSlots(slot)
    }
    return message.build()
}
