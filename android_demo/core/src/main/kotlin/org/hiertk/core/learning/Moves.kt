/** Slots whose classes a newer class map has put elsewhere. */
package org.hiertk.core.learning

/** From a slot to the one that its class has now; null: the class is nowhere any more. */
typealias Moves = Map<Int, Int?>
