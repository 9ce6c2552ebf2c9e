/** What a phone must know to take part in a deployment: from the QR code, or typed by hand. */
package org.hiertk.core.pairing

import org.hiertk.core.ConfigException
import java.io.ByteArrayInputStream
import java.security.cert.CertificateException
import java.security.cert.CertificateFactory
import java.util.Base64

private const val MAX_CA_BYTES = 2_048
private val BROKER = Regex("""mqtts://(\[[0-9A-Fa-f:.]{2,45}]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?):([0-9]{1,5})""")
private val DEVICE = Regex("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
private val DEPLOYMENT = Regex("[0-9a-f]{16}")
private val PASSWORD = Regex("[!-~]{1,128}")
private val BASE64URL = Regex("[A-Za-z0-9_-]+")
private const val PEM_BEGIN = "-----BEGIN CERTIFICATE-----"
private const val PEM_END = "-----END CERTIFICATE-----"

/**
 * One device's way to its deployment.
 *
 * broker: mqtts://HOST:PORT. host: without an IPv6 address's brackets. device: its name, and its user
 * name at the broker. deployment: 16 hex digits; the bundle's must be the same. ca: the certificate
 * (DER) that signs the broker's; nothing else is trusted.
 */
class Pairing private constructor(
    val broker: String,
    val host: String,
    val port: Int,
    val device: String,
    val deployment: String,
    val password: String,
    val ca: ByteArray,
) {
    /** Says nothing of the password: this may get into a log. */
    override fun toString() = "$device of $deployment at $broker"

    companion object {
        /**
         * Check the fields as texts, white space around them aside.
         *
         * ca: the certificate as base64url of DER, or as PEM. Throws ConfigException, naming the first
         * field that is wrong.
         */
        fun of(broker: String, device: String, deployment: String, password: String, ca: String): Pairing {
            val address = BROKER.matchEntire(broker.trim())
            val port = address?.groupValues?.get(2)?.toInt() ?: 0
            if (address == null || port !in 1..65_535) {
                throw wrong("the broker", "is not mqtts://HOST:PORT")
            }
            val name = device.trim()
            if (!DEVICE.matches(name) || name == "down") {
                throw wrong("the device name", "is not 1 to 63 of a-z, 0-9 and '-', or is 'down'")
            }
            val id = deployment.trim()
            if (!DEPLOYMENT.matches(id)) throw wrong("the deployment", "is not 16 of 0-9 and a-f")
            val secret = password.trim()
            if (!PASSWORD.matches(secret)) throw wrong("the password", "is not 1 to 128 letters, digits and signs")
            val host = address.groupValues[1].removeSurrounding("[", "]")
            return Pairing(broker.trim(), host, port, name, id, secret, certificate(ca.trim()))
        }

        private fun certificate(text: String): ByteArray {
            val der = if (text.startsWith(PEM_BEGIN)) derOfPem(text) else derOfBase64Url(text)
            try {
                val factory = CertificateFactory.getInstance("X.509")
                val found = factory.generateCertificate(ByteArrayInputStream(der))
                // What follows the certificate would be read by nobody, and trusted by whoever looks at it.
                if (found.encoded.contentEquals(der)) return der
            } catch (error: CertificateException) {
                throw ConfigException(line("the certificate", "is damaged"), error)
            }
            throw wrong("the certificate", "is more than one")
        }

        private fun derOfPem(text: String): ByteArray {
            val body = text.removePrefix(PEM_BEGIN).removeSuffix(PEM_END)
            // The decoder passes over signs that it does not know: over the lines between two certificates, too.
            if (text.length > 2 * MAX_CA_BYTES || !text.endsWith(PEM_END) || '-' in body) {
                throw wrong("the certificate", "is not one in PEM")
            }
            return decoded(Base64.getMimeDecoder(), body)
        }

        private fun derOfBase64Url(text: String): ByteArray {
            if (text.length > 2 * MAX_CA_BYTES || !BASE64URL.matches(text)) throw wrong("the certificate", "is not base64url")
            return decoded(Base64.getUrlDecoder(), text)
        }

        private fun decoded(decoder: Base64.Decoder, text: String): ByteArray {
            val der = try {
                decoder.decode(text)
            } catch (error: IllegalArgumentException) {
                throw ConfigException(line("the certificate", "is damaged"), error)
            }
            if (der.size > MAX_CA_BYTES) throw wrong("the certificate", "has more than $MAX_CA_BYTES bytes")
            return der
        }

        private fun wrong(field: String, what: String) = ConfigException(line(field, what))

        private fun line(field: String, what: String) =
            "$field of the pairing $what: take the code that `hiertk-cloud pair` shows"
    }
}
