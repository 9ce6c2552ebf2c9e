/**
 * The Python of this repository, which exports the bundles and is the reference.
 *
 * It is HIERTK_PYTHON, else .venv of the repository, else python3. Where it is missing the tests fail
 * with one line that says what to do.
 */
package org.hiertk.learner

import org.hiertk.core.bundle.Bundle
import org.hiertk.core.bundle.openBundle
import java.io.File
import java.io.IOException
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.Paths

object Python {
    private const val LEARNER = "tests/android/python_learner.py"

    /** The folder of the module that is tested. */
    val module: Path = Paths.get("").toAbsolutePath()

    private val repository: Path = module.parent.parent

    /** Return a bundle for phones, exported once, the first time in half a minute. */
    fun export(name: String, vararg settings: String): Bundle {
        val folder = module.resolve("target/bundles/$name")
        if (!Files.exists(folder)) {
            run("-m", "hiertk", "export", "--target", "android", "--seed", "0", *settings, "--out", folder.toString())
        }
        return openBundle(folder)
    }

    /** Let the Python learner train on so many images of each golden batch. Returns the folder with what came out. */
    fun train(bundle: Bundle, out: Path, checkpoint: Path? = null, samples: Int = bundle.manifest.engine.batchSize): Path {
        val more = listOfNotNull(checkpoint).map(Path::toString).toTypedArray()
        run(LEARNER, "golden", bundle.folder.toString(), out.toString(), samples.toString(), *more)
        return out
    }

    /** Run Python to its end, and return what it printed. */
    fun run(vararg arguments: String): String {
        val errors = Files.createTempFile("hiertk", ".log")
        val process = start(arguments.toList(), ProcessBuilder.Redirect.to(errors.toFile()))
        val printed = process.inputStream.bufferedReader().readText()
        val told = { Files.readAllLines(errors).lastOrNull { it.isNotBlank() } ?: "exit status ${process.exitValue()}" }
        if (process.waitFor() != 0) throw AssertionError("${python()} ${arguments[0]} fails: ${told()}")
        Files.delete(errors)
        return printed
    }

    /** Start Python in the repository. */
    fun start(
        arguments: List<String>, errors: ProcessBuilder.Redirect = ProcessBuilder.Redirect.INHERIT,
    ): Process = try {
        ProcessBuilder(listOf(python()) + arguments).directory(repository.toFile()).redirectError(errors).start()
    } catch (error: IOException) {
        throw AssertionError("no Python: set HIERTK_PYTHON, or run `make setup`: ${error.message}")
    }

    private fun python(): String {
        val ours = repository.resolve(".venv/bin/python").toFile()
        return System.getenv("HIERTK_PYTHON") ?: ours.takeIf(File::canExecute)?.path ?: "python3"
    }
}
