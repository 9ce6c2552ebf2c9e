/** How long a put and a look for the next message take with 100,000 small messages held; run by hand. */
package org.hiertk.core.spool

import org.hiertk.core.deleteTree
import java.nio.file.Files
import java.nio.file.Path

private const val HELD = 100_000L
private const val TIMED = 200

fun main() {
    val folder = Files.createTempDirectory("spool")
    try {
        measure("empty", Spool.open(folder))
        fill(folder)
        check(ProcessBuilder("sync").start().waitFor() == 0) // the real spool owes the disk nothing when it is opened
        val begun = System.nanoTime()
        val spool = Spool.open(folder)
        println("%-12s %8.1f ms".format("opened", (System.nanoTime() - begun) / 1e6))
        measure("$HELD held", spool)
    } finally {
        deleteTree(folder)
    }
}

/** Write the messages' files without waiting for the disk with each. */
private fun fill(folder: Path) {
    val data = message().toByteArray()
    for (seq in 1000L until HELD) {
        val group = folder.resolve("messages/${seq / 1000}")
        if (seq % 1000 == 0L) Files.createDirectories(group)
        Files.write(group.resolve(Entry(seq, data.size, 4, 0).fileName), data)
    }
}

private fun measure(what: String, spool: Spool) {
    val last = ArrayList<Long>()
    val put = milliseconds { last.add(spool.put(message())) }
    var after = last.first() - 1
    val next = milliseconds { after = checkNotNull(spool.next(after)).seq }
    val settled = milliseconds { spool.settle(0, beyond = listOf(last.first() + it)) }
    println("%-12s put %.2f ms, next %.3f ms, settle %.2f ms (medians)".format(what, put, next, settled))
}

private fun milliseconds(block: (Int) -> Unit): Double {
    val times = List(TIMED) { index ->
        val begun = System.nanoTime()
        block(index)
        (System.nanoTime() - begun) / 1e6
    }
    return times.sorted()[TIMED / 2]
}
