/**
 * The real training engine on a plain JVM, and a bundle of the real toolkit.
 *
 * Needs a Python with this repository installed (HIERTK_PYTHON, else .venv of the repository, else
 * python3) and gcc. Where something is missing the tests fail with one line that says what to install.
 */
package org.hiertk.learner.ort

import org.hiertk.core.bundle.Bundle
import org.hiertk.core.bundle.openBundle
import java.io.File
import java.io.IOException
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.Paths

object RealEngine {
    private val module: Path = Paths.get("").toAbsolutePath()
    private val repository: Path = module.parent.parent
    private val target: Path = module.resolve("target")

    /** The bundle of all tests: exported once, the first time in half a minute. */
    val bundle: Bundle by lazy {
        load()
        val folder = target.resolve("bundles/resnet18-split2-android-32")
        if (!Files.exists(folder)) {
            val settings = "--model resnet18 --split 2 --target android --input-size 32 --classes 10 --seed 0"
            run("-m", "hiertk", "export", *settings.split(" ").toTypedArray(), "--out", folder.toString())
        }
        openBundle(folder)
    }

    /** Let the Python learner train on the golden batches. Returns the folder with what came out. */
    fun trainInPython(bundle: Bundle, out: Path, checkpoint: Path? = null): Path {
        val more = listOfNotNull(checkpoint).map(Path::toString).toTypedArray()
        run(PYTHON_LEARNER, "golden", bundle.folder.toString(), out.toString(), *more)
        return out
    }

    private fun load() {
        val library = run(module.resolve("src/test/native/engine.py").toString(), target.resolve("native").toString())
        System.setProperty("onnxruntime.native.onnxruntime.path", library.trim())
    }

    private fun run(vararg arguments: String): String {
        val errors = Files.createTempFile("hiertk", ".log")
        val process = try {
            start(arguments.toList()).redirectError(errors.toFile()).start()
        } catch (error: IOException) {
            throw AssertionError("no Python: set HIERTK_PYTHON, or run `make setup`: ${error.message}")
        }
        val printed = process.inputStream.bufferedReader().readText()
        val told = { Files.readAllLines(errors).lastOrNull { it.isNotBlank() } ?: "exit status ${process.exitValue()}" }
        if (process.waitFor() != 0) throw AssertionError("${python()} ${arguments[0]} fails: ${told()}")
        Files.delete(errors)
        return printed
    }

    private fun start(arguments: List<String>): ProcessBuilder =
        ProcessBuilder(listOf(python()) + arguments).directory(repository.toFile())

    private fun python(): String {
        val ours = repository.resolve(".venv/bin/python").toFile()
        return System.getenv("HIERTK_PYTHON") ?: ours.takeIf(File::canExecute)?.path ?: "python3"
    }

    private const val PYTHON_LEARNER = "tests/android/python_learner.py"
}
