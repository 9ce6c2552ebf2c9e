package org.hiertk.core.link

import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.constraints.StringLength
import org.hiertk.core.ConfigException
import org.junit.jupiter.api.Test

class AddressesTest {
    @Test
    fun `an address is written as it was parsed, with its usual port`() {
        val written = mapOf(
            "mqtt://broker.example" to "mqtt://broker.example:1883",
            "mqtts://broker.example" to "mqtts://broker.example:8883",
            "mqtts://10.0.0.2:8884/" to "mqtts://10.0.0.2:8884",
            "mqtt://[::1]:1884" to "mqtt://[::1]:1884",
        )
        written.forEach { (url, shown) -> assertEquals(shown, parseBroker(url).toString()) }
        assertEquals(BrokerAddress("::1", 1884, tls = false), parseBroker("mqtt://[::1]:1884"))
    }

    @Test
    fun `what is no broker's address is refused with what to write`() {
        val refused = listOf("", "broker", "http://a", "mqtt://", "mqtt://a:0", "mqtt://a:65536", "mqtt://a/b", "mqtt://a?b")
        for (url in refused) {
            val error = assertFailsWith<ConfigException>(url) { parseBroker(url) }
            assertTrue("mqtts://HOST[:PORT]" in error.message.orEmpty(), error.message)
        }
    }

    @Test
    fun `a password in the address is refused and not repeated`() {
        val error = assertFailsWith<ConfigException> { parseBroker("mqtts://name:secret@host") }
        assertTrue("secret" !in error.message.orEmpty(), error.message)
    }

    @Property(tries = 300)
    fun `any text is an address or a ConfigException`(@ForAll @StringLength(max = 40) text: String) {
        for (url in listOf(text, "mqtt://$text", "mqtts://$text:1")) {
            try {
                assertEquals(parseBroker(url), parseBroker(parseBroker(url).toString()))
            } catch (error: ConfigException) {
                assertTrue('\n' !in error.message.orEmpty() || '\n' in text)
            }
        }
    }

    @Test
    fun `topics are those of the protocol`() {
        val topics = Topics("0123456789abcdef", "phone-1")
        val root = "hiertk/v1/0123456789abcdef"
        assertEquals("$root/phone-1/up/features", topics.features)
        assertEquals("$root/phone-1/up/status", topics.status)
        assertEquals("$root/phone-1/up/predict", topics.predict)
        assertEquals("$root/phone-1/up/classes", topics.classRequest)
        assertEquals("$root/phone-1/down/ack", topics.ack)
        assertEquals("$root/phone-1/down/predict", topics.predictReply)
        assertEquals("$root/phone-1/down/classes", topics.classReply)
        assertEquals("$root/down/classes", topics.classMap)
        assertEquals("$root/down/model", topics.model)
    }

    @Test
    fun `names that would leave their topic are refused`() {
        val devices = listOf("", "down", "a/b", "+", "#", "A", "-a", "a-", "a".repeat(64))
        devices.forEach { assertFailsWith<ConfigException>(it) { Topics("0123456789abcdef", it) } }
        listOf("", "0123456789ABCDEF", "0123/56789abcdef", "0".repeat(17)).forEach {
            assertFailsWith<ConfigException>(it) { Topics(it, "phone") }
        }
    }
}
