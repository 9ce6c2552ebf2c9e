package org.hiertk.core.spool

import org.hiertk.core.StorageException
import org.hiertk.core.deleteTree
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Files
import java.nio.file.Path
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotEquals
import kotlin.test.assertTrue

class SpoolFaultsTest {
    @TempDir
    lateinit var folder: Path

    private val counts: Path get() = folder.resolve("counts.json")

    @Test
    fun `a power cut while a message is written loses that message alone`() {
        val spool = Spool.open(folder)
        repeat(3) { spool.put(message()) }
        Files.write(messageFile(3).resolveSibling("4.tmp"), byteArrayOf(1, 2))
        Files.write(folder.resolve(".counts.json.tmp"), byteArrayOf(1, 2))
        val again = Spool.open(folder)
        assertEquals(listOf(1L, 2L, 3L), again.numbers())
        assertEquals(4, again.put(message()))
        assertEquals(listOf(1L, 2L, 3L, 4L), again.numbers())
    }

    @Test
    fun `a message that was cut off or changed is put aside and counted, the others come`() {
        val spool = Spool.open(folder)
        repeat(5) { spool.put(message()) }
        Files.write(messageFile(5), Files.readAllBytes(messageFile(5)).copyOf(20))
        Files.write(messageFile(2), Files.readAllBytes(messageFile(2)).also { it[60] = (it[60] + 1).toByte() })
        Files.delete(messageFile(3))
        val again = Spool.open(folder)
        assertEquals(listOf(1L, 4L), again.numbers())
        assertEquals(listOf(3L, 2L), listOf(again.totals.damaged, again.totals.held.toLong()))
        assertEquals(2, folder.resolve("damaged").toFile().list()?.size)
        assertEquals(6, again.put(message()))
        assertEquals(again.totals, Spool.open(folder).totals)
    }

    @Test
    fun `without the counts what is held stays under its epoch, and no number is given twice`() {
        val spool = Spool.open(folder)
        repeat(5) { spool.put(message()) }
        spool.settle(2, beyond = listOf(5))
        for (damage in listOf<(Path) -> Unit>(Files::delete, { Files.write(it, byteArrayOf(123)) })) {
            damage(counts)
            val again = Spool.open(folder)
            assertEquals(spool.epoch, again.epoch)
            assertEquals(listOf(3L, 4L), again.numbers().take(2))
            assertTrue(again.put(message()) > 4 + 4096)
        }
    }

    @Test
    fun `without counts and messages another epoch begins`() {
        val spool = Spool.open(folder)
        spool.put(message())
        spool.settle(1)
        Files.delete(counts)
        val again = Spool.open(folder)
        assertNotEquals(spool.epoch, again.epoch)
        assertEquals(1, again.put(message()))
    }

    @Test
    fun `a message whose file was not deleted any more is settled once`() {
        val spool = Spool.open(folder)
        repeat(4) { spool.put(message()) }
        val files = listOf(1L, 2L, 4L).associate { messageFile(it) to Files.readAllBytes(messageFile(it)) }
        spool.settle(2, beyond = listOf(4))
        // The counts are written first: a kill right after that leaves all files.
        files.forEach { (file, data) -> Files.write(file, data) }
        val again = Spool.open(folder)
        assertEquals(listOf(3L), again.numbers())
        assertEquals(spool.totals, again.totals)
        assertTrue(files.keys.none(Files::exists))
    }

    @Test
    fun `a disk that refuses a message leaves everything as it was`() {
        val spool = Spool.open(folder, maxBytes = 500)
        repeat(3) { spool.put(message()) }
        val before = spool.totals to spool.numbers()
        Files.createDirectories(messageFile(3).resolveSibling("4.tmp").resolve("occupied"))
        val error = assertFailsWith<StorageException> { spool.put(message(payloadBytes = 300)) }
        assertTrue("spool" in error.message.orEmpty() && '\n' !in error.message.orEmpty())
        assertEquals(before, spool.totals to spool.numbers())
    }

    @Test
    fun `a disk that refuses the counts leaves everything as it was`() {
        val spool = Spool.open(folder, maxBytes = 500)
        repeat(3) { spool.put(message()) }
        val before = spool.totals to spool.numbers()
        Files.createDirectories(folder.resolve(".counts.json.tmp/occupied"))
        assertFailsWith<StorageException> { spool.put(message(payloadBytes = 300)) }
        assertFailsWith<StorageException> { spool.settle(2) }
        assertFailsWith<StorageException> { spool.drop(2) }
        assertEquals(before, spool.totals to spool.numbers())
        deleteTree(folder.resolve(".counts.json.tmp"))
        assertEquals(4, spool.put(message(payloadBytes = 300)))
        assertEquals(Spool.open(folder, maxBytes = 500).totals, spool.totals)
    }

    @Test
    fun `files that are not the spool's stay, and are not read`() {
        Spool.open(folder).put(message())
        val alien = folder.resolve("messages/0/2-99999-1-x.message")
        Files.write(alien, byteArrayOf(1))
        assertEquals(listOf(1L), Spool.open(folder).numbers())
        assertTrue(Files.exists(alien))
    }

    private fun messageFile(seq: Long): Path = Files.walk(folder.resolve("messages")).use { all ->
        all.iterator().asSequence().single { it.fileName.toString().startsWith("$seq-") }
    }
}
