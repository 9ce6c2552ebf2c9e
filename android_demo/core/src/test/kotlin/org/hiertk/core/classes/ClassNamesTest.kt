package org.hiertk.core.classes

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.contentOrNull
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonPrimitive
import net.jqwik.api.ForAll
import net.jqwik.api.Property
import org.hiertk.core.ProtocolException
import org.junit.jupiter.api.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class ClassNamesTest {
    @Test
    fun `names are cleaned, and refused, exactly as Python does`() {
        val vectors = checkNotNull(javaClass.getResource("/classes/names.json")).readText()
        val pairs = Json.decodeFromString(JsonArray.serializer(), vectors).map { it.jsonArray }
        assertTrue(pairs.size >= 400)
        for (pair in pairs) {
            val text = pair[0].jsonPrimitive.content
            val name = pair[1].jsonPrimitive.contentOrNull
            assertEquals(name, cleaned(text), "of ${text.map { it.code.toString(16) }}")
        }
    }

    @Test
    fun `a refusal is one line, whatever the name has in it`() {
        for (text in listOf("a\nb", "x".repeat(100_000), "", "\ud800")) {
            val message = assertFailsWith<ProtocolException> { cleanClassName(text) }.message.orEmpty()
            assertTrue('\n' !in message && message.length < 200, message)
        }
    }

    @Property(tries = 500)
    fun `a clean name stays as it is`(@ForAll text: String) {
        val name = cleaned(text) ?: return
        assertEquals(name, cleanClassName(name))
        assertTrue(name.isNotEmpty() && name.codePointCount(0, name.length) <= MAX_NAME_CHARACTERS)
    }

    private fun cleaned(text: String): String? =
        try {
            cleanClassName(text)
        } catch (_: ProtocolException) {
            null
        }
}
