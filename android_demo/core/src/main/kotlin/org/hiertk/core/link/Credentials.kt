/** What the phone shows the broker, and whose signature it asks of it. */
package org.hiertk.core.link

import org.hiertk.core.ConfigException

/**
 * What a connection over TLS needs; made by `hiertk-cloud provision`.
 *
 * ca: who may have signed the broker's certificate, X.509 as PEM or DER; null: whom the phone knows.
 * username, password: both or neither. certificatePem, keyPem (PKCS#8): both or neither.
 */
class Credentials(
    val ca: ByteArray? = null,
    val username: String? = null,
    val password: String? = null,
    val certificatePem: String? = null,
    val keyPem: String? = null,
) {
    /** Throw ConfigException if something is missing or unreadable, or would travel unprotected. */
    fun check(tls: Boolean) {
        if (!tls && listOfNotNull(ca, username, password, certificatePem, keyPem).isNotEmpty()) {
            throw ConfigException(
                "certificates and passwords need TLS: write the broker as mqtts://HOST[:PORT]"
            )
        }
        if ((certificatePem == null) != (keyPem == null)) {
            throw ConfigException("a certificate needs its key, and a key its certificate: give both")
        }
        if ((username == null) != (password == null)) {
            throw ConfigException("a user name needs its password, and a password its user name")
        }
        if (tls) tlsSettings(this)
    }
}
