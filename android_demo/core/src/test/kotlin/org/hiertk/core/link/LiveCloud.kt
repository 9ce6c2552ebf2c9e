/** The real thing for the live test: a bundle, Mosquitto as `hiertk-cloud provision` sets it up, the cloud service. */
package org.hiertk.core.link

import java.io.IOException
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.Paths
import java.nio.file.attribute.PosixFilePermissions
import java.util.concurrent.TimeUnit
import kotlin.test.fail
import org.hiertk.core.bundle.Bundle
import org.hiertk.core.bundle.openBundle
import org.hiertk.core.deleteTree

private val python = System.getenv("HIERTK_PYTHON") ?: "python3"
private const val PREPARE_SECONDS = 300L
private const val START_SECONDS = 120L

/** All of it below one folder, from the start to `close`. Fails with one line if something is missing. */
class LiveCloud : AutoCloseable {
    // Open to the user that Mosquitto becomes where root starts it; JUnit's own folders are not.
    val folder: Path = Files.createTempDirectory("hiertk-live")
    val broker: Mosquitto
    val bundle: Bundle
    private val port = freePorts(3)
    private var service: Process? = null
    private val log = folder.resolve("cloud.log").toFile()

    init {
        Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwx--x--x"))
        prepare()
        bundle = openBundle(folder.resolve("bundle"))
        broker = Mosquitto(folder.resolve("mosquitto/mosquitto.conf"), port + 2).apply { start() }
        startService()
    }

    /** Where a phone with a password connects, and what it shows. host: as it calls the broker. */
    fun passwordAddress(host: String = "127.0.0.1") = BrokerAddress(host, port + 1, tls = true)

    fun password() = Credentials(
        ca = read("phone-1/ca.pem").toByteArray(),
        username = "phone-1",
        password = read("phone-1/password").trim(),
    )

    /** Where a phone with a certificate connects, and what it shows. */
    val certificateAddress = BrokerAddress("127.0.0.1", port, tls = true)

    fun certificate() = Credentials(
        ca = read("phone-2/ca.pem").toByteArray(),
        certificatePem = read("phone-2/device.pem"),
        keyPem = read("phone-2/device.key"),
    )

    fun read(name: String): String = String(Files.readAllBytes(folder.resolve(name)))

    override fun close() {
        service?.let { running ->
            running.destroy()
            if (!running.waitFor(30, TimeUnit.SECONDS)) running.destroyForcibly().waitFor()
        }
        broker.close()
        deleteTree(folder)
    }

    private fun prepare() {
        val script = Paths.get(System.getProperty("basedir") ?: "").toAbsolutePath()
            .resolve("../../tests/android/live_cloud.py").normalize()
        if (!Files.isRegularFile(script)) fail("$script: no such file: run this test in a whole checkout")
        val prepared = started(log, script.toString(), folder.toString(), port.toString())
        if (!prepared.waitFor(PREPARE_SECONDS, TimeUnit.SECONDS)) {
            prepared.destroyForcibly()
            fail("$script was not done within $PREPARE_SECONDS s")
        }
        if (prepared.exitValue() != 0) fail("$script: ${lastLine()}: set HIERTK_PYTHON to a Python with hiertk[demo]")
    }

    private fun startService() {
        val running = started(log, "-m", "hiertk_cloud", "serve", "--json", "--config", folder.resolve("cloud.toml").toString())
        service = running
        eventually("the cloud service is up", START_SECONDS) {
            if (!running.isAlive) fail("the cloud service ended: ${lastLine()}")
            "\"event\": \"up\"" in log.readText()
        }
    }

    private fun lastLine() = log.readText().trim().lines().last()
}

private fun started(log: java.io.File, vararg arguments: String): Process {
    val command = ProcessBuilder(listOf(python) + arguments)
        .redirectErrorStream(true)
        .redirectOutput(ProcessBuilder.Redirect.appendTo(log))
    command.environment()["OMP_NUM_THREADS"] = "1"
    return try {
        command.start()
    } catch (error: IOException) {
        fail("$python: ${error.message}: set HIERTK_PYTHON to a Python with hiertk[demo]")
    }
}
