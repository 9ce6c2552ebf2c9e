/** Keeps the pairing's text, which holds a password, encrypted with a key that never leaves the phone's keystore. */
package org.hiertk.demo.store

import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyProperties
import org.hiertk.core.StorageException
import org.hiertk.core.deleteTree
import org.hiertk.core.readBounded
import org.hiertk.core.reasonOf
import org.hiertk.core.writeAtomically
import java.io.IOException
import java.nio.file.Files
import java.nio.file.Path
import java.security.GeneralSecurityException
import java.security.KeyStore
import java.security.ProviderException
import javax.crypto.Cipher
import javax.crypto.KeyGenerator
import javax.crypto.SecretKey
import javax.crypto.spec.GCMParameterSpec

private const val PROVIDER = "AndroidKeyStore"
private const val KEY = "hiertk-pairing"
private const val CIPHER = "AES/GCM/NoPadding"
private const val KEY_BITS = 256
private const val TAG_BITS = 128
private const val NONCE_BYTES = 12
private const val MOST_BYTES = 16 * 1024

/** A file of a nonce and AES-GCM's ciphertext. One thread at a time. */
class PairingStore(private val file: Path) {
    /** Return the text; null if there is none. Throws StorageException. */
    fun load(): String? {
        if (!Files.exists(file)) return null
        return working("read") {
            val data = readBounded(file, MOST_BYTES)
            if (data.size <= NONCE_BYTES) throw IOException("it is cut off")
            val cipher = Cipher.getInstance(CIPHER)
            cipher.init(Cipher.DECRYPT_MODE, key(), GCMParameterSpec(TAG_BITS, data, 0, NONCE_BYTES))
            String(cipher.doFinal(data, NONCE_BYTES, data.size - NONCE_BYTES), Charsets.UTF_8)
        }
    }

    /** Keep a text in place of what was there. Throws StorageException. */
    fun save(text: String) {
        val data = working("kept") {
            val cipher = Cipher.getInstance(CIPHER)
            cipher.init(Cipher.ENCRYPT_MODE, key())
            cipher.iv + cipher.doFinal(text.toByteArray(Charsets.UTF_8))
        }
        writeAtomically(file, data)
    }

    /** Delete the text and its key. Throws StorageException. */
    fun delete() = working("deleted") {
        deleteTree(file)
        keys().deleteEntry(KEY)
    }

    private fun key(): SecretKey = keys().getKey(KEY, null) as? SecretKey ?: newKey()

    private fun newKey(): SecretKey {
        val purposes = KeyProperties.PURPOSE_ENCRYPT or KeyProperties.PURPOSE_DECRYPT
        val wanted = KeyGenParameterSpec.Builder(KEY, purposes)
            .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
            .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE)
            .setKeySize(KEY_BITS)
            .build()
        return KeyGenerator.getInstance(KeyProperties.KEY_ALGORITHM_AES, PROVIDER).apply { init(wanted) }.generateKey()
    }

    private fun keys(): KeyStore = KeyStore.getInstance(PROVIDER).apply { load(null) }

    private fun <T> working(verb: String, work: () -> T): T = try {
        work()
    } catch (error: GeneralSecurityException) {
        throw refused(verb, error)
    } catch (error: ProviderException) {
        throw refused(verb, error)
    } catch (error: IOException) {
        throw StorageException("the pairing cannot be $verb: ${reasonOf(error)}: pair the phone again", error)
    }

    private fun refused(verb: String, error: Exception) =
        StorageException("the pairing cannot be $verb: the phone's keystore refuses: pair the phone again", error)
}
