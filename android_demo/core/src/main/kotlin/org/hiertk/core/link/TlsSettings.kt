/** From credentials to what the TLS engine wants: trust in the deployment's own CA, and the phone's own key. */
package org.hiertk.core.link

import java.io.ByteArrayInputStream
import java.security.GeneralSecurityException
import java.security.KeyFactory
import java.security.KeyStore
import java.security.PrivateKey
import java.security.cert.Certificate
import java.security.cert.CertificateException
import java.security.cert.CertificateFactory
import java.security.spec.InvalidKeySpecException
import java.security.spec.PKCS8EncodedKeySpec
import java.util.Base64
import javax.net.ssl.KeyManagerFactory
import javax.net.ssl.SSLContext
import javax.net.ssl.TrustManagerFactory
import org.hiertk.core.ConfigException

private const val MAX_PEM_BYTES = 1 shl 20
private val KEY_ALGORITHMS = listOf("EC", "RSA")
private val KEY_BLOCK = Regex("-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\\s]+)-----END PRIVATE KEY-----")

/** What a TLS connection is made with. trust: null asks the phone's own CAs. */
internal class TlsSettings(
    val trust: TrustManagerFactory?,
    val keys: KeyManagerFactory?,
    val protocols: List<String>,
)

/** Return the settings for these credentials. Throws ConfigException. */
internal fun tlsSettings(credentials: Credentials): TlsSettings =
    TlsSettings(
        trust = credentials.ca?.let(::trusting),
        keys = credentials.certificatePem?.let { showing(it, credentials.keyPem.orEmpty()) },
        protocols = safeProtocols(),
    )

/** TLS 1.2 and newer, of what this system has: Android 8 and 9 have no 1.3. */
private fun safeProtocols(): List<String> =
    SSLContext.getDefault().supportedSSLParameters.protocols.filter { it == "TLSv1.3" || it == "TLSv1.2" }

private fun trusting(ca: ByteArray): TrustManagerFactory {
    val store = emptyStore()
    certificates(ca, "CA certificate").forEachIndexed { number, one -> store.setCertificateEntry("ca-$number", one) }
    return TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm()).apply { init(store) }
}

private fun showing(certificatePem: String, keyPem: String): KeyManagerFactory {
    val chain = certificates(certificatePem.toByteArray(), "certificate")
    val store = emptyStore()
    try {
        store.setKeyEntry("device", privateKey(keyPem), CharArray(0), chain.toTypedArray())
        return KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm()).apply {
            init(store, CharArray(0))
        }
    } catch (error: GeneralSecurityException) {
        throw ConfigException("certificate and key: not of one pair, or damaged: pair the phone again", error)
    }
}

private fun emptyStore(): KeyStore =
    KeyStore.getInstance(KeyStore.getDefaultType()).apply { load(null, null) }

private fun certificates(data: ByteArray, what: String): List<Certificate> {
    if (data.size > MAX_PEM_BYTES) throw ConfigException("$what: ${data.size} bytes, more than $MAX_PEM_BYTES")
    val found = try {
        CertificateFactory.getInstance("X.509").generateCertificates(ByteArrayInputStream(data))
    } catch (error: CertificateException) {
        throw ConfigException("$what: not an X.509 certificate: pair the phone again", error)
    }
    if (found.isEmpty()) throw ConfigException("$what: there is no certificate in it: pair the phone again")
    return found.toList()
}

private fun privateKey(pem: String): PrivateKey {
    val body = if (pem.length > MAX_PEM_BYTES) null else KEY_BLOCK.find(pem)?.groupValues?.get(1)
    val data = try {
        Base64.getMimeDecoder().decode(body ?: "")
    } catch (error: IllegalArgumentException) {
        throw ConfigException("key: its PEM is damaged: pair the phone again", error)
    }
    for (algorithm in KEY_ALGORITHMS) {
        try {
            return KeyFactory.getInstance(algorithm).generatePrivate(PKCS8EncodedKeySpec(data))
        } catch (error: InvalidKeySpecException) {
            continue // of another algorithm
        }
    }
    throw ConfigException("key: not a PKCS#8 key of EC or RSA without a passphrase: pair the phone again")
}
