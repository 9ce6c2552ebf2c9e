package org.hiertk.core.view

import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.constraints.LongRange
import org.junit.jupiter.api.Test
import java.util.Locale
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class FormatsTest {
    private val english = Formats(Locale.US)
    private val german = Formats(Locale.GERMANY)

    @Test
    fun `numbers are written as the language does`() {
        assertEquals("12,345", english.count(12_345))
        assertEquals("12.345", german.count(12_345))
        assertEquals("87%", english.percent(0.874))
        assertEquals("0.123", english.loss(0.1234))
        assertEquals("0,123", german.loss(0.1234))
        assertEquals("12.3", english.loss(12.34))
        assertEquals("0.25", english.number(0.25, 2))
    }

    @Test
    fun `what is not known is a dash`() {
        assertEquals(listOf("\u2013", "\u2013", "\u2013"), listOf(english.percent(Double.NaN), english.loss(Double.NaN), english.number(Double.POSITIVE_INFINITY, 1)))
    }

    @Test
    fun `amounts of data have a unit of which they are one at least`() {
        assertEquals(Amount("0", ByteUnit.BYTES), english.bytes(0))
        assertEquals(Amount("999", ByteUnit.BYTES), english.bytes(999))
        assertEquals(Amount("1.0", ByteUnit.KB), english.bytes(1_000))
        assertEquals(Amount("9.9", ByteUnit.KB), english.bytes(9_940))
        assertEquals(Amount("10", ByteUnit.KB), english.bytes(9_960))
        assertEquals(Amount("1.0", ByteUnit.MB), english.bytes(999_700))
        assertEquals(Amount("1,5", ByteUnit.GB), german.bytes(1_500_000_000))
    }

    @Property(tries = 300)
    fun `no amount below a thousand gigabytes takes more than four characters`(@ForAll @LongRange(min = 0, max = 999_000_000_000) bytes: Long) {
        assertTrue(english.bytes(bytes).number.length <= 4, english.bytes(bytes).toString())
    }
}
