package org.hiertk.core.view

import org.hiertk.core.ProtocolException
import org.junit.jupiter.api.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull

class CaptureTest {
    private var millis = 0L
    private val capture = Capture(of = 20, undoMillis = 5_000, millis = { millis })

    @Test
    fun `holding captures twenty frames, which are learned when they can be undone no more`() {
        capture.press(" mug ")
        repeat(25) { capture.frame(byteArrayOf(it.toByte())) }
        assertEquals(CaptureState.Captured("mug", 20, 5_000), capture.state)
        assertNull(capture.due())
        millis = 5_000
        val due = checkNotNull(capture.due())
        assertEquals("mug" to 20, due.name to due.images.size)
        assertNull(capture.due())
        assertEquals(CaptureState.Idle, capture.state)
    }

    @Test
    fun `letting go early keeps what there is`() {
        capture.press("mug")
        repeat(7) { capture.frame(ByteArray(1)) }
        assertEquals(CaptureState.Capturing("mug", 7, 20), capture.state)
        capture.release()
        capture.frame(ByteArray(1))
        assertEquals(CaptureState.Captured("mug", 7, 5_000), capture.state)
    }

    @Test
    fun `letting go before the first frame captures nothing`() {
        capture.press("mug")
        capture.release()
        assertEquals(CaptureState.Idle, capture.state)
        millis = 9_000
        assertNull(capture.due())
    }

    @Test
    fun `undo throws the capture away`() {
        capture.press("mug")
        repeat(20) { capture.frame(ByteArray(1)) }
        millis = 4_999
        assertEquals(20, capture.undo())
        millis = 9_000
        assertNull(capture.due())
        assertEquals(0, capture.undo())
    }

    @Test
    fun `the next capture gives the earlier one to learning at once`() {
        capture.press("mug")
        repeat(3) { capture.frame(ByteArray(1)) }
        capture.release()
        val earlier = checkNotNull(capture.press("pen"))
        assertEquals("mug" to 3, earlier.name to earlier.images.size)
        assertEquals(CaptureState.Capturing("pen", 0, 20), capture.state)
    }

    @Test
    fun `an app that is sent away gives what it has, also in the middle of a capture`() {
        capture.press("mug")
        repeat(3) { capture.frame(ByteArray(1)) }
        assertEquals(3, checkNotNull(capture.flush()).images.size)
        assertEquals(CaptureState.Idle, capture.state)
    }

    @Test
    fun `frames are copied, since the camera uses its buffer again`() {
        val buffer = byteArrayOf(1)
        capture.press("mug")
        capture.frame(buffer)
        buffer[0] = 9
        assertContentEquals(byteArrayOf(1), checkNotNull(capture.flush()).images.single())
    }

    @Test
    fun `an unusable name begins nothing and leaves an earlier capture`() {
        capture.press("mug")
        capture.frame(ByteArray(1))
        capture.release()
        assertFailsWith<ProtocolException> { capture.press("a\u0000b") }
        assertEquals(CaptureState.Captured("mug", 1, 5_000), capture.state)
    }

    @Test
    fun `a typed name is new, known, empty or unusable`() {
        val known = listOf("mug")
        assertEquals(NameCheck.Usable("red pen", isNew = true), checkName(" red  pen ", known))
        assertEquals(NameCheck.Usable("mug", isNew = false), checkName("mug ", known))
        assertEquals(NameCheck.Empty, checkName("  ", known))
        assertEquals(true, checkName("a\u0007", known) is NameCheck.Unusable)
        assertEquals(true, checkName("x".repeat(201), known) is NameCheck.Unusable)
    }
}
