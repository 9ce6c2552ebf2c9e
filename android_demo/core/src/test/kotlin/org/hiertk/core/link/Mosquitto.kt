/** A real Mosquitto of a test's own. */
package org.hiertk.core.link

import java.net.InetAddress
import java.net.InetSocketAddress
import java.net.ServerSocket
import java.net.Socket
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.Paths
import java.util.concurrent.TimeUnit
import kotlin.test.fail

private val PLACES = System.getenv("PATH").orEmpty().split(':') +
    listOf("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
private const val START_SECONDS = 30L

/** A broker on a loopback port that it keeps over restarts; ends with `close`. settings: a mosquitto.conf. */
class Mosquitto(private val settings: Path, val port: Int) : AutoCloseable {
    private var process: Process? = null
    private val log = settings.resolveSibling("mosquitto.log").toFile()

    val address = BrokerAddress("127.0.0.1", port, tls = false)

    fun start() {
        val started = ProcessBuilder(program(), "-c", settings.toString())
            .redirectErrorStream(true)
            .redirectOutput(ProcessBuilder.Redirect.appendTo(log))
            .start()
        process = started
        eventually("mosquitto listens", START_SECONDS) {
            if (!started.isAlive) fail("mosquitto ended at once: ${log.readText().trim()}")
            listens(port)
        }
    }

    /** End it as a crash would. */
    fun kill() {
        process?.destroyForcibly()?.waitFor()
        process = null
    }

    override fun close() {
        process?.destroy()
        if (process?.waitFor(10, TimeUnit.SECONDS) == false) kill()
        process = null
    }

    companion object {
        /** Start a broker without TLS; `more` lines go into its settings. */
        fun start(folder: Path, vararg more: String): Mosquitto {
            val port = freePorts(1)
            val lines = listOf(
                "listener $port 127.0.0.1", "persistence false", "set_tcp_nodelay true",
                "log_dest stderr", "log_type error", "log_type warning",
            )
            val access = if (more.any { it.startsWith("allow_anonymous") }) emptyList() else listOf("allow_anonymous true")
            val settings = folder.resolve("mosquitto.conf")
            Files.write(settings, lines + access + more)
            return Mosquitto(settings, port).apply { start() }
        }

        private fun program(): String =
            PLACES.map { Paths.get(it, "mosquitto") }.firstOrNull(Files::isExecutable)?.toString()
                ?: fail("mosquitto is not installed: this test needs a real broker")
    }
}

/** Return the first of so many loopback ports in a row that nothing uses now. */
fun freePorts(count: Int): Int {
    repeat(100) {
        val first = ServerSocket(0, 1, InetAddress.getLoopbackAddress()).use { it.localPort }
        if (first + count <= 65_535 && (first until first + count).all(::isFree)) return first
    }
    fail("no $count free ports in a row")
}

private fun isFree(port: Int): Boolean = try {
    ServerSocket(port, 1, InetAddress.getLoopbackAddress()).use { true }
} catch (error: java.io.IOException) {
    false
}

private fun listens(port: Int): Boolean = try {
    Socket().use { it.connect(InetSocketAddress(InetAddress.getLoopbackAddress(), port), 1000) }
    true
} catch (error: java.io.IOException) {
    false
}

/** Wait until something holds; fail with what it was to be. */
fun eventually(what: String, seconds: Long = 30, condition: () -> Boolean) {
    val deadline = monotonicMillis() + 1000 * seconds
    while (!condition()) {
        if (monotonicMillis() >= deadline) fail("not within $seconds s: $what")
        Thread.sleep(10)
    }
}
