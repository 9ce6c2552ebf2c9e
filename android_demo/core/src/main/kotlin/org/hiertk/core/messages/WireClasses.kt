/** Class slots as feature messages have them. */
package org.hiertk.core.messages

/** Labels from here on stand for names: NEW_CLASS + i for new_classes[i]. */
const val NEW_CLASS = 1 shl 16

/** What slots are on the wire at one moment. mapVersion: of the class map; provisional: names by slot. */
class WireClasses(val mapVersion: Int, val provisional: Map<Int, String>) {
    /** Return a slot as a message has it; a provisional class's name is added to `names` once. */
    internal fun onWire(slot: Int, names: MutableList<String>): Int {
        val name = provisional[slot] ?: return slot
        if (name !in names) names.add(name)
        return NEW_CLASS + names.indexOf(name)
    }
}
