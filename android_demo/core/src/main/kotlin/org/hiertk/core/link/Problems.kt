/** What is wrong now, a line each, for the status and the screen. */
package org.hiertk.core.link

private const val LETTERS = 300

/** The problems by kind, in the order in which they began. For the session's thread only. */
internal class Problems {
    private val texts = LinkedHashMap<String, String>()

    /** The newest problem or refusal that ever was; empty: there was none. */
    var newest = ""
        private set

    val lines: List<String> get() = texts.values.toList()

    /** Note a problem, in its newest words. */
    fun begin(kind: String, text: String) {
        if (texts.put(kind, text.take(LETTERS)) != text.take(LETTERS)) tell(text)
    }

    /** Note that a problem is over. */
    fun end(kind: String) {
        texts.remove(kind)
    }

    /** Note what was wrong once. */
    fun tell(text: String) {
        newest = text.take(LETTERS)
    }
}
