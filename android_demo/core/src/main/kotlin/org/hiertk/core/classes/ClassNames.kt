/**
 * Names of classes: what one may be.
 *
 * Case and form of the characters count: the classes of a bundle may be letters.
 */
package org.hiertk.core.classes

import org.hiertk.core.ProtocolException
import java.text.Normalizer

const val MAX_NAME_CHARACTERS = 200
internal const val SHOWN_CHARACTERS = 40

private val FORBIDDEN = setOf(
    Character.CONTROL,
    Character.LINE_SEPARATOR,
    Character.PARAGRAPH_SEPARATOR,
    Character.SURROGATE,
    Character.PRIVATE_USE,
    Character.UNASSIGNED,
).mapTo(HashSet()) { it.toInt() }

/**
 * Return a name as it is kept: NFC, with single spaces and none around it.
 *
 * Throws ProtocolException if it is empty, too long, or has characters that no line can show.
 */
fun cleanClassName(text: String): String {
    // A character is at most two chars: before anything is done with all of a long text.
    if (text.length > 8 * MAX_NAME_CHARACTERS || characters(text) > 4 * MAX_NAME_CHARACTERS) throw tooLong(text)
    if (codePoints(text).any { Character.getType(it) in FORBIDDEN }) {
        throw ProtocolException("the class name '${shown(text)}' has characters that cannot be shown")
    }
    val name = withSingleSpaces(Normalizer.normalize(text, Normalizer.Form.NFC))
    if (name.isEmpty()) throw ProtocolException("a class name is empty")
    if (characters(name) > MAX_NAME_CHARACTERS) throw tooLong(text)
    return name
}

private fun withSingleSpaces(text: String): String {
    val name = StringBuilder(text.length)
    var isBetween = false
    for (one in codePoints(text)) {
        if (Character.getType(one) == Character.SPACE_SEPARATOR.toInt()) {
            isBetween = name.isNotEmpty()
        } else {
            if (isBetween) name.append(' ')
            isBetween = false
            name.appendCodePoint(one)
        }
    }
    return name.toString()
}

private fun codePoints(text: String): Sequence<Int> =
    generateSequence(0) { it + Character.charCount(text.codePointAt(it)) }
        .takeWhile { it < text.length }
        .map { text.codePointAt(it) }

private fun characters(text: String) = text.codePointCount(0, text.length)

private fun tooLong(text: String) = ProtocolException(
    "the class name '${shown(text)}'... has ${characters(text)} characters, " +
        "at most $MAX_NAME_CHARACTERS are allowed",
)

/** The head of a name on one line, whatever it has in it. */
internal fun shown(text: String): String =
    text.take(SHOWN_CHARACTERS).map { if (Character.getType(it.code) in FORBIDDEN) '?' else it }.joinToString("")
