package org.hiertk.core.classes

import net.jqwik.api.ForAll
import net.jqwik.api.Property
import org.hiertk.core.ProtocolException
import org.junit.jupiter.api.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.hiertk.protocol.ClassMap as MapMessage
import org.hiertk.protocol.ClassSlot as SlotMessage

class ClassMapTest {
    private val map = Registry(listOf("cat", "dog", "hen"), capacity = 8).apply {
        add("Huhn")
        merge("Huhn", into = "hen")
        retire("cat")
        add("cat")
    }.map

    @Test
    fun `a map survives its message`() {
        assertEquals(map, parseClassMap(map.toMessage().toByteArray(), capacity = 8))
    }

    @Test
    fun `a name, an alias and an older version's slot find the class`() {
        assertEquals("hen", map.find("Huhn")?.name)
        assertEquals("hen", map.successor(3, since = 2)?.name)
        assertEquals("dog", map.successor(1, since = 1)?.name)
    }

    @Test
    fun `a class that was retired and named again is another class`() {
        assertNull(map.successor(0, since = 1))
        assertEquals("cat", map.successor(0, since = 5)?.name)
    }

    @Test
    fun `what no registry makes is refused`() {
        val dog = slot(1, "dog", 1)
        val bad = mapOf(
            "version 0" to message(0, dog),
            "not in order" to message(2, dog, slot(0, "cat", 1)),
            "there twice" to message(2, slot(0, "dog", 1), dog),
            "of 8 slots" to message(2, slot(8, "cat", 1)),
            "no registry gives" to message(2, slot(3, "cat", 3)),
            "an alias that" to message(2, slot(3, "cat", 0)),
            "is empty" to message(2, slot(3, " ", 1)),
        )
        for ((reason, one) in bad) {
            val error = assertFailsWith<ProtocolException>(reason) { parseClassMap(one.toByteArray(), capacity = 8) }
            assertTrue(reason in error.message.orEmpty(), error.message)
        }
    }

    @Test
    fun `a map of more than 100 KiB is refused before it is parsed`() {
        assertFailsWith<ProtocolException> { parseClassMap(ByteArray(MAX_MAP_BYTES + 1)) }
    }

    @Property(tries = 1000)
    fun `any bytes are a map or a ProtocolException`(
        @ForAll bytes: ByteArray,
        @ForAll place: Int,
        @ForAll value: Byte,
    ) {
        val broken = map.toMessage().toByteArray()
        broken[Math.floorMod(place, broken.size)] = value
        for (payload in listOf(bytes, broken)) {
            try {
                assertTrue(parseClassMap(payload).version >= FIRST_VERSION)
            } catch (error: ProtocolException) {
                assertTrue(error.message.orEmpty().isNotEmpty())
            }
        }
    }

    private fun message(version: Int, vararg slots: SlotMessage) =
        MapMessage.newBuilder().setVersion(version).addAllSlots(slots.toList()).build()

    private fun slot(slot: Int, name: String, since: Int) =
        SlotMessage.newBuilder().setSlot(slot).setName(name).setSince(since).build()
}
