package org.hiertk.core.spool

import org.hiertk.core.ConfigException
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Files
import java.nio.file.Path
import kotlin.concurrent.thread
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNotEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue

class SpoolTest {
    @TempDir
    lateinit var folder: Path

    @Test
    fun `messages come out in order, with epoch and number filled in`() {
        Spool.open(folder).use { spool ->
            assertEquals(listOf(1L, 2L, 3L), (1..3).map { spool.put(message(value = it)) })
            val stored = spool.contents()
            assertEquals(listOf(1L, 2L, 3L), stored.keys.toList())
            stored.forEach { (seq, one) ->
                assertEquals(spool.epoch to seq, one.epoch to one.seq)
                assertEquals(seq.toByte(), one.features.payload.byteAt(0))
            }
            assertNull(spool.next(3))
        }
    }

    @Test
    fun `a message leaves only when it is settled`() {
        Spool.open(folder).use { spool ->
            repeat(6) { spool.put(message()) }
            assertEquals(mapOf(4L to "too old"), spool.settle(2, listOf(6), mapOf(4L to "too old", 99L to "unknown")))
            assertEquals(listOf(3L, 5L), spool.numbers())
            assertEquals(3, spool.floor)
            assertEquals(mapOf(), spool.settle(2, listOf(6), mapOf(4L to "too old")))
            assertEquals(listOf(3L, 1L), listOf(spool.totals.settled, spool.totals.refused))
            spool.settle(100)
            assertEquals(7, spool.floor)
            assertEquals(7, spool.put(message()))
        }
    }

    @Test
    fun `epoch, numbers and counts survive a restart and a kill`() {
        val first = Spool.open(folder)
        repeat(5) { first.put(message(samples = 3)) }
        first.settle(2, refused = mapOf(4L to "no"))
        first.put(message(samples = 3))
        val killed = Spool.open(folder) // the first one was not closed
        assertEquals(first.totals, killed.totals)
        assertEquals(first.epoch, killed.epoch)
        killed.settle(100)
        val totals = killed.totals
        killed.close()
        val empty = Spool.open(folder)
        assertEquals(totals, empty.totals)
        assertEquals(listOf(6L, 18L, 5L, 1L), listOf(totals.put, totals.samples, totals.settled, totals.refused))
        assertEquals(7, empty.put(message()))
    }

    @Test
    fun `another folder's spool has another epoch`() {
        assertNotEquals(Spool.open(folder.resolve("a")).epoch, Spool.open(folder.resolve("b")).epoch)
    }

    @Test
    fun `when it is full the oldest go, and are counted`() {
        val size = Spool.open(folder.resolve("one")).run {
            put(message())
            totals.heldBytes
        }
        val spool = Spool.open(folder, maxBytes = 3 * size)
        repeat(5) { spool.put(message()) }
        assertEquals(listOf(3L, 4L, 5L), spool.numbers())
        assertEquals(listOf(2L, 8L), listOf(spool.totals.dropped, spool.totals.droppedSamples))
        assertFailsWith<ConfigException> { spool.put(message(payloadBytes = 1000)) }
        spool.close()
        val smaller = Spool.open(folder, maxBytes = 2 * size)
        assertEquals(listOf(4L, 5L), smaller.numbers())
        assertEquals(listOf(3L, 5L), listOf(smaller.totals.dropped, smaller.totals.put))
    }

    @Test
    fun `age is the time that the app ran with a message`() {
        var seconds = 0L
        val open = { Spool.open(folder, maxAgeSeconds = 100, runTime = { seconds * 1_000_000_000 }) }
        val spool = open()
        spool.put(message())
        seconds = 60
        spool.put(message())
        spool.close()
        seconds = 1_000_000 // begins anew with each start of the phone
        val later = open()
        seconds += 50
        assertEquals(listOf(2L), later.numbers())
        seconds += 100
        assertNull(later.next(0))
        assertEquals(2, later.totals.aged)
    }

    @Test
    fun `a message that no link takes can be dropped, and is counted`() {
        val spool = Spool.open(folder)
        repeat(2) { spool.put(message()) }
        assertEquals(spool.next(0)?.message?.size, spool.sizeAfter(0))
        spool.drop(1)
        spool.drop(1)
        assertEquals(listOf(2L), spool.numbers())
        assertEquals(1, spool.totals.tooLarge)
        assertNull(spool.sizeAfter(2))
    }

    @Test
    fun `no folder has more than 1000 files, and empty ones go`() {
        val names = MessageFiles(folder)
        Spool.open(folder).close()
        val one = message().toByteArray()
        // Made without the spool, which waits for the disk with each message.
        val groups = folder.resolve("messages")
        for (seq in 1L..2500) {
            val group = Files.createDirectories(groups.resolve((seq / 1000).toString()))
            Files.write(group.resolve(Entry(seq, one.size, 4, 0).fileName), one)
        }
        assertEquals(2500, names.list(1000).size)
        val spool = Spool.open(folder)
        assertEquals(2501, spool.put(message()))
        assertTrue(groups.toFile().listFiles().orEmpty().all { it.list().orEmpty().size <= 1000 })
        spool.settle(2400)
        assertContentEquals(arrayOf("2"), groups.toFile().list())
        assertEquals(101, groups.resolve("2").toFile().list()?.size)
    }

    @Test
    fun `whoever waits for an empty spool is told`() {
        val spool = Spool.open(folder)
        spool.put(message())
        assertFalse(spool.awaitEmpty(timeoutMillis = 20))
        val settling = thread { spool.settle(1) }
        assertTrue(spool.awaitEmpty(timeoutMillis = 20_000))
        settling.join()
    }

    @Test
    fun `one thread puts while another one settles`() {
        val spool = Spool.open(folder)
        val seen = ArrayList<Long>()
        val sending = thread {
            while (seen.size < 150) {
                val one = spool.next(seen.lastOrNull() ?: 0) ?: continue
                seen.add(one.seq)
                spool.settle(one.seq)
            }
        }
        repeat(150) { spool.put(message()) }
        sending.join()
        assertEquals((1L..150).toList(), seen)
        assertEquals(listOf(0L, 150L), listOf(spool.totals.heldBytes, spool.totals.settled))
    }
}
