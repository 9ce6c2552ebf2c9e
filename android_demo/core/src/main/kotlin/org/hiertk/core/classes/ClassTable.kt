/**
 * The class table: which class is in which of this device's slots, at one moment. Pure.
 *
 * It is the newest class map in place, and the provisional classes, which have slot numbers that the map
 * leaves free. A table never changes; another one takes its place.
 */
package org.hiertk.core.classes

import org.hiertk.core.messages.WireClasses

/** In place of the version of the map that gave the slot: only this device knows it. */
const val PROVISIONAL = 0L

/** What a slot stands for. since: as in the class map; PROVISIONAL: known by its name alone. */
data class ClassInSlot(val name: String, val since: Long) {
    val isProvisional: Boolean get() = since == PROVISIONAL
}

/** The classes of a device. provisional: slots by name, none of them in the map. */
data class ClassTable(val map: ClassMap, val provisional: Map<String, Int>, val capacity: Int) {
    /** The classes by their slots, in order. */
    val bySlot: Map<Int, ClassInSlot> by lazy {
        val own = provisional.entries.associate { (name, slot) -> slot to ClassInSlot(name, PROVISIONAL) }
        (registered() + own).toSortedMap()
    }

    /** The names of all classes, by slot; without aliases. */
    val names: List<String> get() = bySlot.values.map { it.name }

    /** What feature messages made now say of their slots. */
    val wire: WireClasses by lazy {
        WireClasses(map.version.toInt(), provisional.entries.associate { (name, slot) -> slot to name })
    }

    /** Return the slot of the class with this name or alias. */
    fun slotOf(name: String): Int? = within(map.find(name))?.slot ?: provisional[name]

    /** Return the name of the class in a slot. */
    fun nameOf(slot: Int): String? = bySlot[slot]?.name

    /** Return for each slot of an older table where its class is now; null: nowhere. */
    fun moves(known: Map<Int, ClassInSlot>): Map<Int, Int?> = known.mapValues { (slot, one) -> slotNow(slot, one) }

    /** Return the names that could only be found here by name, and are not. */
    internal fun lacks(known: Collection<ClassInSlot>): List<String> =
        known.filter { isFoundByName(it) && slotOf(it.name) == null }.map { it.name }

    /** Return whether the map has a class of this name or alias, in a slot that the bundle has. */
    internal fun isRegistered(name: String) = within(map.find(name)) != null

    /** Return the highest slot that no class has; null if there is none. */
    internal fun freeSlot(): Int? = (capacity - 1 downTo 0).firstOrNull { it !in bySlot }

    /** Return the table with one class more. */
    internal fun withProvisional(name: String, slot: Int) = copy(provisional = provisional + (name to slot))

    /**
     * Return the table with a newer map.
     *
     * Provisional classes that the map has are in it alone; one whose slot it has given to another class
     * gets another free slot. Where there is none, it is left out.
     */
    internal fun after(newer: ClassMap): ClassTable {
        val bare = ClassTable(newer, emptyMap(), capacity)
        val waiting = provisional.filterKeys { !bare.isRegistered(it) }
        val staying = waiting.filterValues { it < capacity && it !in newer.bySlot }
        return (waiting.keys - staying.keys).sorted().fold(bare.copy(provisional = staying)) { table, name ->
            table.freeSlot()?.let { table.withProvisional(name, it) } ?: table
        }
    }

    private fun registered() = map.slots
        .filter { it.slot < capacity }
        .associate { it.slot to ClassInSlot(it.name, it.since) }

    private fun slotNow(slot: Int, known: ClassInSlot): Int? =
        if (isFoundByName(known)) slotOf(known.name) else within(map.successor(slot, known.since))?.slot

    /** What is newer than the map is looked for by name, too: the newer map was lost here. */
    private fun isFoundByName(known: ClassInSlot) = known.isProvisional || known.since > map.version

    /** A class if its slot is one of the bundle's, not only of one that was grown from it. */
    private fun within(entry: ClassSlot?) = entry?.takeIf { it.slot < capacity }
}
