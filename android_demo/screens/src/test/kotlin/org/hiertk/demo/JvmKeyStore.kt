/** The phone's keystore for a JVM, which has none: the same calls, and the keys in memory. */
package org.hiertk.demo

import java.io.InputStream
import java.io.OutputStream
import java.security.Key
import java.security.KeyStoreSpi
import java.security.Provider
import java.security.SecureRandom
import java.security.Security
import java.security.cert.Certificate
import java.security.spec.AlgorithmParameterSpec
import java.util.Collections
import java.util.Date
import java.util.Enumeration
import javax.crypto.KeyGeneratorSpi
import javax.crypto.SecretKey
import javax.crypto.spec.SecretKeySpec
import android.security.keystore.KeyGenParameterSpec

private const val NAME = "AndroidKeyStore"
private val keys = HashMap<String, SecretKey>()

/** Let the app find it under the phone's name, empty. */
fun installKeyStore() {
    keys.clear()
    if (Security.getProvider(NAME) == null) Security.addProvider(JvmKeyStore())
}

private class JvmKeyStore : Provider(NAME, "1", "keys in memory") {
    init {
        putService(object : Service(this, "KeyStore", NAME, Keys::class.java.name, null, null) {
            override fun newInstance(parameter: Any?) = Keys()
        })
        putService(object : Service(this, "KeyGenerator", "AES", Generator::class.java.name, null, null) {
            override fun newInstance(parameter: Any?) = Generator()
        })
    }
}

private class Generator : KeyGeneratorSpi() {
    private lateinit var wanted: KeyGenParameterSpec

    override fun engineInit(random: SecureRandom?) = throw UnsupportedOperationException()

    override fun engineInit(size: Int, random: SecureRandom?) = throw UnsupportedOperationException()

    override fun engineInit(parameters: AlgorithmParameterSpec, random: SecureRandom?) {
        wanted = parameters as KeyGenParameterSpec
    }

    override fun engineGenerateKey(): SecretKey {
        val bytes = ByteArray(wanted.keySize / 8).also(SecureRandom()::nextBytes)
        return SecretKeySpec(bytes, "AES").also { keys[wanted.keystoreAlias] = it }
    }
}

private class Keys : KeyStoreSpi() {
    override fun engineLoad(stream: InputStream?, password: CharArray?) = Unit

    override fun engineGetKey(alias: String, password: CharArray?): Key? = keys[alias]

    override fun engineDeleteEntry(alias: String) {
        keys.remove(alias)
    }

    override fun engineContainsAlias(alias: String) = alias in keys

    override fun engineIsKeyEntry(alias: String) = alias in keys

    override fun engineIsCertificateEntry(alias: String) = false

    override fun engineSize() = keys.size

    override fun engineAliases(): Enumeration<String> = Collections.enumeration(keys.keys)

    override fun engineStore(stream: OutputStream?, password: CharArray?) = throw UnsupportedOperationException()

    override fun engineGetCertificate(alias: String): Certificate? = null

    override fun engineGetCertificateChain(alias: String): Array<Certificate>? = null

    override fun engineGetCertificateAlias(certificate: Certificate): String? = null

    override fun engineGetCreationDate(alias: String): Date? = null

    override fun engineSetKeyEntry(alias: String, key: Key, password: CharArray?, chain: Array<Certificate>?) =
        throw UnsupportedOperationException()

    override fun engineSetKeyEntry(alias: String, key: ByteArray, chain: Array<Certificate>?) =
        throw UnsupportedOperationException()

    override fun engineSetCertificateEntry(alias: String, certificate: Certificate) = throw UnsupportedOperationException()
}
