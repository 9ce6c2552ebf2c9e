/** What is wrong now, a line for each kind of problem. */
package org.hiertk.core.learning

/** Lines by the part that has the problem, in the order in which they began; any thread may call. */
internal class Problems {
    private val lines = LinkedHashMap<String, String>()

    /** The lines now. */
    val all: List<String> @Synchronized get() = lines.values.toList()

    /** Begin a problem, or tell it in other words. */
    @Synchronized
    fun begin(part: String, line: String) {
        lines[part] = line
    }

    /** End a part's problem, if it has one. */
    @Synchronized
    fun end(part: String) {
        lines.remove(part)
    }
}
