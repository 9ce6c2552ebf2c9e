/** Numbers as a user reads them, in the language given; units are the app's texts. */
package org.hiertk.core.view

import java.text.NumberFormat
import java.util.Locale
import kotlin.math.abs

/** Units of amounts of data, of 1000 each. */
enum class ByteUnit { BYTES, KB, MB, GB }

/** An amount for one of the app's texts, such as "%s MB". */
data class Amount(val number: String, val unit: ByteUnit)

/** Formats for one language; one thread, since Java's formats are not for several. */
class Formats(locale: Locale) {
    private val whole = NumberFormat.getIntegerInstance(locale)
    private val percent = NumberFormat.getPercentInstance(locale)
    private val decimals = List(4) { digits ->
        NumberFormat.getNumberInstance(locale).apply {
            minimumFractionDigits = digits
            maximumFractionDigits = digits
        }
    }

    /** A count: 12,345. */
    fun count(value: Long): String = whole.format(value)

    /** A share of 1 as whole percent; a dash where it is not known. */
    fun percent(share: Double): String = if (share.isNaN()) NONE else percent.format(share)

    /** A loss in nats with three digits behind the point; a dash where it is not known. */
    fun loss(value: Double): String = number(value, if (abs(value) < 10) 3 else 1)

    /** A number with so many digits behind the point, 0 to 3; a dash where it is not known. */
    fun number(value: Double, digits: Int): String =
        if (value.isNaN() || value.isInfinite()) NONE else decimals[digits.coerceIn(0, 3)].format(value)

    /** An amount of data in the largest unit of which it is one at least; one digit behind the point below 10. */
    fun bytes(bytes: Long): Amount {
        var value = bytes.toDouble()
        var unit = 0
        // 999.95 of a unit would be written as 1000.
        while (unit < ByteUnit.GB.ordinal && value >= 999.5) {
            value /= 1_000
            unit++
        }
        val digits = if (unit > 0 && value < 9.95) 1 else 0
        return Amount(decimals[digits].format(value), ByteUnit.values()[unit])
    }

    companion object {
        /** What stands for a number that is not known. */
        const val NONE = "\u2013"
    }
}
