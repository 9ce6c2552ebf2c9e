/**
 * The classes of a device: durable, and the same for all of its threads.
 *
 * Only this table decides: it is written first, and every store (rehearsal memory, learner) follows it,
 * at once or at the next start. So a kill between two stores leaves none that is ahead.
 */
package org.hiertk.core.classes

import org.hiertk.core.ConfigException
import org.hiertk.core.HierTkException
import java.nio.file.Path

/** A feature message names no more new classes. */
const val MOST_PROVISIONAL = 16
private const val MOST_TOLD = 20

/** The newest class map in place, and the provisional classes; any thread may call it. */
class DeviceClasses private constructor(private val file: Path, private val exported: ExportedClasses) {
    private val lock = Any()
    private val lost = LinkedHashMap<String, String>()
    private var mapProblem = ""

    /** The classes now. */
    @Volatile
    var table: ClassTable = readTable(file, exported) ?: exported.table()
        private set

    /** The version that all stores have followed, for the device's status. */
    @Volatile
    var confirmed: Long = FIRST_VERSION
        private set

    /** Number of class maps that were not taken, since the start. */
    @Volatile
    var ignored: Int = 0
        private set

    /** The version of the class map in place. */
    val version: Long get() = table.map.version

    /** The names of the classes that have no slot in the class map yet. */
    val provisional: List<String> get() = table.provisional.keys.toList()

    /** What is wrong now, a line each. */
    val problems: List<String>
        get() = synchronized(lock) { listOf(mapProblem).filter { it.isNotEmpty() } + lost.values }

    /**
     * Return the slot of a class, which is opened as a provisional one if it is not known.
     *
     * Throws ProtocolException for an unusable name, ConfigException if there is no room, StorageException.
     */
    fun nameNew(name: String): Int = synchronized(lock) {
        val clean = cleanClassName(name)
        table.slotOf(clean) ?: freeSlot(clean).also { put(table.withProvisional(clean, it)) }
    }

    /**
     * Put a newer map in place; return the slots whose classes are elsewhere now (null: nowhere).
     *
     * One that cannot come after the map in place is ignored, as `ignore` does. Throws StorageException,
     * and then nothing is changed.
     */
    fun follow(newer: ClassMap): Map<Int, Int?> = synchronized(lock) {
        val before = table
        val reason = if (newer == before.map) "" else whyNotAfter(before.map, newer)
        if (reason.isNotEmpty()) {
            ignore(reason)
            return emptyMap()
        }
        if (newer != before.map) put(before.after(newer))
        mapProblem = ""
        before.provisional.keys.filter { table.slotOf(it) == null }.forEach {
            tellLost(it, "all class slots are taken")
        }
        table.moves(before.bySlot).filter { (slot, target) -> slot != target }
    }

    /** Count a class map that is not taken, and tell why. */
    fun ignore(reason: String) = synchronized(lock) {
        ignored++
        mapProblem = "a class map is ignored: $reason"
    }

    /** Open anew, as provisional classes, what a store knows and the table has lost. */
    fun adopt(known: Collection<ClassInSlot>) {
        for (name in table.lacks(known)) {
            try {
                nameNew(name)
            } catch (error: HierTkException) {
                synchronized(lock) { tellLost(name, error.message.orEmpty()) }
            }
        }
    }

    /** Note that every store follows this table. */
    fun confirm(followed: ClassTable) {
        confirmed = followed.map.version
    }

    private fun put(next: ClassTable) {
        writeTable(file, next, exported)
        table = next
    }

    private fun freeSlot(name: String): Int {
        if (table.provisional.size >= MOST_PROVISIONAL) {
            throw ConfigException(
                "no room for class '${shown(name)}': $MOST_PROVISIONAL new classes wait for their slots " +
                    "already: connect the phone to its cloud",
            )
        }
        return table.freeSlot() ?: throw ConfigException(
            "no room for class '${shown(name)}': all ${table.capacity} class slots are taken: " +
                "retire a class in the cloud, or `hiertk grow` the bundle",
        )
    }

    private fun tellLost(name: String, why: String) {
        if (lost.size >= MOST_TOLD) return
        lost[name] = "class '${shown(name)}' is given up on this phone, its images too: $why"
    }

    companion object {
        /**
         * Read the table, or begin with the bundle's. Throws StorageException.
         *
         * A file that is damaged is set aside: the broker has the map, the stores know the other names.
         */
        fun open(file: Path, exported: ExportedClasses) = DeviceClasses(file, exported)
    }
}
