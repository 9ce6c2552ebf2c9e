package org.hiertk.core.pairing

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.constraints.IntRange
import org.hiertk.core.ConfigException
import org.junit.jupiter.api.Test
import java.nio.file.Files
import java.nio.file.Paths
import java.util.Base64
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

class PairingTest {
    private val golden = Json.parseToJsonElement(
        String(Files.readAllBytes(Paths.get("../../protocol/golden/pairing.json"))),
    ).jsonObject
    private val accepted = golden.getValue("accepted").jsonArray.map { it.jsonObject }
    private val refused = golden.getValue("refused").jsonArray.map { it.jsonObject }

    @Test
    fun `every golden code says what it is to say`() {
        assertTrue(accepted.isNotEmpty())
        for (case in accepted) {
            val fields = case.getValue("fields").jsonObject
            val pairing = parsePairing(case.text("text"))
            assertEquals(fields.text("broker"), pairing.broker)
            assertEquals(fields.text("host"), pairing.host)
            assertEquals(fields.getValue("port").jsonPrimitive.int, pairing.port)
            assertEquals(fields.text("device"), pairing.device)
            assertEquals(fields.text("deployment"), pairing.deployment)
            assertEquals(fields.text("password"), pairing.password)
            assertContentEquals(Base64.getDecoder().decode(fields.text("ca_der")), pairing.ca)
        }
    }

    @Test
    fun `every golden code that breaks the rules is refused in one line that has no password`() {
        assertTrue(refused.isNotEmpty())
        for (case in refused) {
            val error = assertFailsWith<ConfigException>(case.text("name")) { parsePairing(case.text("text")) }
            val line = error.message.orEmpty()
            assertTrue(line.isNotEmpty() && line.length < 200 && '\n' !in line, line)
            assertFalse("T7vY" in line, line)
        }
    }

    @Test
    fun `a code of a newer version asks for an update`() {
        val error = assertFailsWith<ConfigException> { parsePairing("hiertk:2:{}") }
        assertTrue("update the app" in error.message.orEmpty())
    }

    @Test
    fun `the same fields can be typed, with white space around them and the certificate as PEM`() {
        val code = parsePairing(accepted.first().text("text"))
        val pem = "-----BEGIN CERTIFICATE-----\n" +
            Base64.getMimeEncoder(64, "\n".toByteArray()).encodeToString(code.ca) + "\n-----END CERTIFICATE-----\n"
        val typed = Pairing.of(" ${code.broker} ", "${code.device}\n", code.deployment, code.password, pem)
        assertContentEquals(code.ca, typed.ca)
        assertEquals(listOf(code.host, code.device), listOf(typed.host, typed.device))
        assertFailsWith<ConfigException> { Pairing.of("mqtt://${code.host}:1883", code.device, code.deployment, code.password, pem) }
        assertFailsWith<ConfigException> { Pairing.of(code.broker, code.device, code.deployment, code.password, pem + pem) }
    }

    @Test
    fun `a pairing as text has no password`() {
        val pairing = parsePairing(accepted.first().text("text"))
        assertFalse(pairing.password in "$pairing")
    }

    @Property(tries = 300)
    fun `any text is a pairing or refused`(@ForAll text: String) {
        for (code in listOf(text, "hiertk:1:$text", "hiertk:1:{\"broker\":\"$text\"}")) {
            assertFailsWith<ConfigException> { parsePairing(code) }
        }
    }

    @Property(tries = 500)
    fun `a code in which one character was read wrongly is a pairing or refused`(
        @ForAll @IntRange(min = 0, max = 5_000) at: Int,
        @ForAll @IntRange(min = 0, max = 255) other: Int,
    ) {
        val text = accepted.first().text("text")
        val changed = StringBuilder(text).apply { setCharAt(at % text.length, other.toChar()) }.toString()
        try {
            assertTrue(parsePairing(changed).port in 1..65_535)
        } catch (error: ConfigException) {
            assertTrue(error.message.orEmpty().isNotEmpty())
        }
    }

    private fun JsonObject.text(key: String) = getValue(key).jsonPrimitive.content
}
