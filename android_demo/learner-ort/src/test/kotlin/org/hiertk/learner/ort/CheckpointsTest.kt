package org.hiertk.learner.ort

import org.hiertk.core.StorageException
import org.hiertk.core.learning.Checkpoints
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Files
import java.nio.file.Path
import kotlin.test.assertEquals
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue

class CheckpointsTest {
    @TempDir
    lateinit var folder: Path

    private val bundle = RealEngine.bundle
    private val state get() = folder.resolve("checkpoints")
    private val checkpoints get() = Checkpoints(state)

    @Test
    fun `without any, none is found`() {
        assertNull(checkpoints.newest())
    }

    @Test
    fun `the newest of two generations is found with its notes, older ones are removed`() {
        saveFour()
        val found = assertNotNull(checkpoints.newest())
        assertEquals("notes 4", found.notes)
        OrtLearner(bundle, found.learnerFile).use { assertEquals(4, it.edgeStep) }
        assertEquals(listOf("000000003", "000000004"), names())
    }

    @Test
    fun `a damaged generation is set aside, and the one before it taken`() {
        for (name in listOf("learner", "notes", "SHA256SUMS")) {
            saveFour()
            val newest = state.resolve(names().last { it[0] in '0'..'9' })
            val bytes = Files.readAllBytes(newest.resolve(name))
            bytes[bytes.size / 2] = (bytes[bytes.size / 2] + 1).toByte()
            Files.write(newest.resolve(name), bytes)
            assertEquals("notes 3", assertNotNull(checkpoints.newest()).notes)
            assertTrue("damaged-${newest.fileName}" in names())
        }
        assertEquals(1, names().count { it.startsWith("damaged-") })
    }

    @Test
    fun `a generation without one of its files is damaged`() {
        saveFour()
        Files.delete(state.resolve("000000004/learner"))
        assertEquals("notes 3", assertNotNull(checkpoints.newest()).notes)
        Files.delete(state.resolve("000000003/SHA256SUMS"))
        assertNull(checkpoints.newest())
    }

    @Test
    fun `what a killed save left behind is removed, and numbers go on`() {
        saveFour()
        Files.createDirectories(state.resolve(".000000005.tmp"))
        Files.write(state.resolve(".000000005.tmp/learner"), ByteArray(10))
        assertEquals("notes 4", assertNotNull(checkpoints.newest()).notes)
        assertEquals(listOf("000000003", "000000004"), names())
        OrtLearner(bundle).use { checkpoints.save(it, "") }
        assertEquals(listOf("000000004", "000000005"), names())
    }

    @Test
    fun `a disk that refuses is a StorageException`() {
        Files.write(state, ByteArray(1)) // a file where the folder should be
        OrtLearner(bundle).use { learner ->
            assertThrows<StorageException> { checkpoints.save(learner, "") }
            assertThrows<StorageException> { learner.save(state.resolve("below a file")) }
        }
    }

    private fun saveFour() {
        val images = FloatArray(2 * bundle.manifest.input.values) { it % 5 / 5f }
        OrtLearner(bundle).use { learner ->
            for (number in 1..4) {
                learner.step(images, intArrayOf(0, 1))
                checkpoints.save(learner, "notes $number")
            }
        }
    }

    private fun names(): List<String> = state.toFile().list().orEmpty().sorted()
}
