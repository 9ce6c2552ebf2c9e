package org.hiertk.core.spool

import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.constraints.Size
import org.hiertk.core.deleteTree
import java.nio.file.Files
import java.util.TreeMap
import kotlin.random.Random
import kotlin.test.assertEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue

class SpoolHistoryTest {
    @Property(tries = 25)
    fun `any order of puts, settlements and kills keeps what must hold`(@ForAll @Size(max = 25) actions: IntArray) {
        val folder = Files.createTempDirectory("spool")
        try {
            var spool = Spool.open(folder, MAX_BYTES)
            val model = Model()
            for (seed in actions) {
                val random = Random(seed)
                when (random.nextInt(8)) {
                    in 0..3 -> model.put(spool, random)
                    4, 5 -> model.settle(spool, random)
                    6 -> spool = Spool.open(folder, MAX_BYTES) // killed
                    else -> {
                        spool.close()
                        spool = Spool.open(folder, MAX_BYTES)
                    }
                }
                model.check(spool)
            }
            model.check(Spool.open(folder, MAX_BYTES))
        } finally {
            deleteTree(folder)
        }
    }

    /** What a spool without disk, of the same bound, holds and counts. */
    private class Model {
        private val held = TreeMap<Long, Int>()
        private var epoch: Long? = null
        private var put = 0L
        private var settled = 0L
        private var refused = 0L
        private var dropped = 0L

        fun put(spool: Spool, random: Random) {
            val seq = spool.put(message(payloadBytes = random.nextInt(600)))
            assertEquals(++put, seq)
            held[seq] = checkNotNull(spool.sizeAfter(seq - 1))
            while (held.values.sum() > MAX_BYTES) {
                held.remove(held.firstKey())
                dropped++
            }
        }

        fun settle(spool: Spool, random: Random) {
            val through = random.nextLong(put + 2) / 2
            val beyond = List(random.nextInt(3)) { random.nextLong(put + 3) }
            val refusals = List(random.nextInt(3)) { random.nextLong(put + 3) }.associateWith { "reason $it" }
            val gone = held.keys.filter { it <= through || it in beyond || it in refusals }
            assertEquals(refusals.filterKeys { it in gone }, spool.settle(through, beyond, refusals))
            refused += gone.count { it in refusals }
            settled += gone.count { it !in refusals }
            gone.forEach(held::remove)
        }

        fun check(spool: Spool) {
            val totals = spool.totals
            assertEquals(epoch ?: spool.epoch, spool.epoch)
            epoch = spool.epoch
            assertEquals(held.keys.toList(), spool.numbers())
            assertEquals(if (held.isEmpty()) put + 1 else held.firstKey(), spool.floor)
            assertEquals(listOf(put, settled, refused), listOf(totals.put, totals.settled, totals.refused))
            assertEquals(listOf(dropped, 0L), listOf(totals.dropped, totals.damaged))
            assertEquals(held.size to held.values.sum().toLong(), totals.held to totals.heldBytes)
            assertEquals(put, totals.held + totals.settled + totals.refused + totals.dropped)
            assertTrue(totals.heldBytes <= MAX_BYTES)
            assertNull(spool.next(put))
        }
    }
}

private const val MAX_BYTES = 2000L
