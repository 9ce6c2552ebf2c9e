/**
 * The early exit follows the class table: its rows move to the slots that their classes have.
 *
 * A checkpoint's notes keep what its slots stood for, so that an older one is brought up to date when it
 * is opened.
 */
package org.hiertk.core.classes

import org.hiertk.core.learning.EdgeLearner
import org.hiertk.core.learning.ExitRow

/**
 * Bring the open slots up to date, between two steps.
 *
 * known: what the open slots stand for; one that stands for nothing is closed. Slots may swap. Of two
 * classes that were merged, the row of the one whose slot stays, else of the lower slot, stays.
 */
fun moveRows(learner: EdgeLearner, known: Map<Int, ClassInSlot>, table: ClassTable) {
    val now = table.moves(known)
    val leaving = learner.openSlots.sorted().filter { now[it] != it }
    if (leaving.isEmpty()) return
    val staying = learner.openSlots - leaving.toSet()
    val arriving = LinkedHashMap<Int, ExitRow>()
    for ((slot, row) in leaving.zip(learner.exitRows(leaving))) {
        val target = now[slot]
        if (target != null && target !in staying && target !in arriving) arriving[target] = row
    }
    leaving.filter { it !in arriving }.forEach(learner::closeSlot)
    arriving.forEach { (slot, row) -> learner.openSlot(slot, row) }
}
