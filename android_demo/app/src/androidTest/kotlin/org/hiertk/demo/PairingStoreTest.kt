/** On a phone or an emulator: the keystore keeps the pairing's secret. */
package org.hiertk.demo

import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import org.hiertk.core.StorageException
import org.hiertk.demo.store.PairingStore
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Test
import org.junit.runner.RunWith
import java.nio.file.Files

private const val SECRET = "hiertk:1:{\"password\":\"not on disk as it is\"}"

@RunWith(AndroidJUnit4::class)
class PairingStoreTest {
    private val file = InstrumentationRegistry.getInstrumentation().targetContext.cacheDir.toPath().resolve("pairing-test")
    private val store = PairingStore(file)

    @After
    fun delete() = store.delete()

    @Test
    fun theTextComesBackAndIsNotInTheFile() {
        store.save(SECRET)
        assertEquals(SECRET, PairingStore(file).load())
        assertFalse(String(Files.readAllBytes(file), Charsets.ISO_8859_1).contains("password"))
    }

    @Test
    fun thereIsNothingBeforeAndAfter() {
        assertNull(store.load())
        store.save(SECRET)
        store.delete()
        assertNull(store.load())
    }

    @Test
    fun aChangedOrTruncatedFileIsRefused() {
        store.save(SECRET)
        val data = Files.readAllBytes(file)
        Files.write(file, data.copyOf(data.size - 1))
        assertThrows(StorageException::class.java) { store.load() }
        data[data.size / 2] = (data[data.size / 2] + 1).toByte()
        Files.write(file, data)
        assertThrows(StorageException::class.java) { store.load() }
    }

    @Test
    fun withoutItsKeyAFileIsRefused() {
        store.save(SECRET)
        val data = Files.readAllBytes(file)
        store.delete()
        Files.write(file, data)
        assertThrows(StorageException::class.java) { store.load() }
    }
}
