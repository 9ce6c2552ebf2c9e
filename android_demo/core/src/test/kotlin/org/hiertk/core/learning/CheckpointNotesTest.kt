package org.hiertk.core.learning

import org.hiertk.core.StorageException
import org.hiertk.core.classes.ClassInSlot
import org.junit.jupiter.api.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class CheckpointNotesTest {
    @Test
    fun `what slots stood for and the temperature survive`() {
        val known = mapOf(0 to ClassInSlot("cat", 1), 7 to ClassInSlot("café \"x\"", 0))
        val read = CheckpointNotes.parse(CheckpointNotes(known, 1.25).toText())
        assertEquals(known, read.known)
        assertEquals(1.25, read.temperature)
    }

    @Test
    fun `other text is refused`() {
        val texts = listOf(
            "", "[]", "{}", """{"classes":[],"temperature":0}""", """{"classes":[],"temperature":"NaN"}""",
            """{"classes":[{"slot":1,"name":"","since":1}],"temperature":1}""", """{"classes":[1],"temperature":1}""",
        )
        for (text in texts) {
            val error = assertFailsWith<StorageException>(text) { CheckpointNotes.parse(text) }
            assertContains(error.message.orEmpty(), "delete the checkpoint")
        }
    }
}
