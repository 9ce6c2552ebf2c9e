/** The rest of the system, real and running: bundle, engine, broker, cloud service and images. */
package org.hiertk.demo

import org.json.JSONObject
import java.io.File
import java.io.IOException
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.Paths

/** Of tests/android/phone_system.py; for all tests of this JVM, and ends with it. */
object Deployment {
    private val repository: Path = Paths.get("").toAbsolutePath().parent.parent
    private val folder: Path = Files.createTempDirectory("hiertk-screens")
    private val log: File = folder.resolve("log").toFile()
    private val told: JSONObject by lazy(::begin)

    /** The phone's bundle, as its user brings it. */
    val bundle: ByteArray by lazy { Files.readAllBytes(Paths.get(told.getString("bundle"))) }

    /** Lets the phone in. */
    val pairing: String get() = told.getString("pairing")

    /** Files of real images of a class, of 28 by 28 pixels. */
    fun images(name: String): List<File> =
        checkNotNull(File(told.getString("images"), name).listFiles()) { "no images of $name" }.sorted()

    private fun begin(): JSONObject {
        val process = try {
            command().redirectError(log).start()
        } catch (error: IOException) {
            throw AssertionError("no Python: set HIERTK_PYTHON, or run `make setup`: ${error.message}")
        }
        Runtime.getRuntime().addShutdownHook(Thread { end(process) })
        val line = process.inputStream.bufferedReader().readLine()
            ?: throw AssertionError("${python()} phone_system.py fails: ${log.readLines().lastOrNull { it.isNotBlank() }}")
        return JSONObject(line).also {
            System.setProperty("onnxruntime.native.onnxruntime.path", it.getString("engine"))
        }
    }

    private fun command() = ProcessBuilder(python(), "tests/android/phone_system.py", folder.toString()).apply {
        directory(repository.toFile())
        val environment = environment()
        environment["PYTHONPATH"] = listOfNotNull(environment["PYTHONPATH"], "$repository/tests").joinToString(":")
        environment["OMP_NUM_THREADS"] = "1"
    }

    private fun end(process: Process) {
        process.outputStream.close()
        process.waitFor()
        folder.toFile().deleteRecursively()
    }

    private fun python(): String {
        val ours = repository.resolve(".venv/bin/python").toFile()
        return System.getenv("HIERTK_PYTHON") ?: ours.takeIf(File::canExecute)?.path ?: "python3"
    }
}
