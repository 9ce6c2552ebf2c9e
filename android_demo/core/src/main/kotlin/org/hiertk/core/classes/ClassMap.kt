/**
 * The class map: which class is in which slot, in one version of the table.
 *
 * The cloud's registry alone makes new versions. A slot that was retired may be given to another class
 * later; `since` tells the two apart. So whoever knows an older version finds out from a new one alone
 * what has become of each class.
 */
package org.hiertk.core.classes

const val FIRST_VERSION = 1L

/** A class that was merged into another: its name, and the slot that it had. */
data class ClassAlias(val name: String, val slot: Int, val since: Long)

/** A class and its slot. since: the version that gave it the slot. aliases: what was merged into it. */
data class ClassSlot(
    val slot: Int,
    val name: String,
    val since: Long = FIRST_VERSION,
    val aliases: List<ClassAlias> = emptyList(),
) {
    /** Its name, and its aliases'. */
    val names: List<String> get() = listOf(name) + aliases.map { it.name }

    /** Slot and version of its beginning, and its aliases'. */
    val origins: List<Pair<Int, Long>> get() = listOf(slot to since) + aliases.map { it.slot to it.since }
}

/** One version of the table; `slots` in the order of their numbers, free ones left out. */
data class ClassMap(val version: Long, val slots: List<ClassSlot>) {
    /** The classes by their slots. */
    val bySlot: Map<Int, ClassSlot> by lazy { slots.associateBy { it.slot } }

    private val byName by lazy { slots.flatMap { one -> one.names.map { it to one } }.toMap() }
    private val byOrigin by lazy { slots.flatMap { one -> one.origins.map { it to one } }.toMap() }

    /** Return the class of that name or alias. */
    fun find(name: String): ClassSlot? = byName[name]

    /** Return what an older version's class is now: itself, what it was merged into, or null. */
    fun successor(slot: Int, since: Long): ClassSlot? = byOrigin[slot to since]
}

/** Return the map at export. */
fun exportedMap(names: List<String>): ClassMap =
    ClassMap(FIRST_VERSION, names.mapIndexed { slot, name -> ClassSlot(slot, name) })

/**
 * Return why a map cannot come after another one; "" if it can.
 *
 * Every class that a later map dates back to the older map's time must be in that one: else a registry
 * was lost and begun anew, and its slots stand for other classes.
 */
internal fun whyNotAfter(old: ClassMap, newer: ClassMap): String {
    val keep = "this phone keeps its own: restore the cloud's state, or begin anew on the phone"
    if (newer.version < old.version) {
        return "version ${newer.version} is older than this phone's ${old.version}; $keep"
    }
    val dated = newer.slots.flatMap { it.origins }.filter { (_, since) -> since <= old.version }
    if (newer.version == old.version || dated.any { (slot, since) -> old.successor(slot, since) == null }) {
        return "version ${newer.version} is no later one of this phone's ${old.version}: " +
            "the cloud's registry was begun anew; $keep"
    }
    return ""
}
