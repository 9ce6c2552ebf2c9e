/** The engine for one bundle: whether it is there, in which version, and how its sessions are opened. */
package org.hiertk.learner.ort

import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtLoggingLevel
import ai.onnxruntime.OrtSession
import ai.onnxruntime.OrtTrainingSession
import org.hiertk.core.BundleException
import org.hiertk.core.EngineException
import org.hiertk.core.bundle.Backend
import org.hiertk.core.bundle.Bundle
import java.nio.file.Path

/** Throws EngineException if there is no training engine, BundleException for another backend or version. */
internal class OrtEngine(private val bundle: Bundle, private val threads: Int) {
    val environment: OrtEnvironment = load()

    init {
        val wanted = bundle.manifest.engine
        if (wanted.backend != Backend.ONNXRUNTIME) {
            throw BundleException(
                "${bundle.folder}: the bundle is for ${wanted.backend.name.lowercase()}, this app trains " +
                    "with onnxruntime: export it with --backend onnxruntime",
            )
        }
        if (wanted.version != environment.version) {
            throw BundleException(
                "${bundle.folder}: the bundle is for onnxruntime ${wanted.version}, here is " +
                    "${environment.version}: export it again with the version of hiertk that made this app",
            )
        }
    }

    /** Open a session at a checkpoint. Throws BundleException if the engine refuses it. */
    fun open(checkpoint: Path): OrtTrainingSession = try {
        options().use { options ->
            environment.createTrainingSession(
                checkpoint.toString(),
                bundle.path(TRAINING_MODEL).toString(),
                bundle.path(EVAL_MODEL).toString(),
                bundle.path(OPTIMIZER_MODEL).toString(),
                options,
            )
        }
    } catch (error: OrtException) {
        throw BundleException("$checkpoint: the engine refuses it: ${firstLine(error)}", error)
    }

    // As the Python learner. The arena costs a third of the memory and gains nothing here.
    private fun options() = OrtSession.SessionOptions().apply {
        setIntraOpNumThreads(threads)
        setInterOpNumThreads(1)
        addConfigEntry("session.intra_op.allow_spinning", "0")
        setCPUArenaAllocator(false)
    }

    companion object {
        const val CHECKPOINT = "edge/checkpoint"
        private const val TRAINING_MODEL = "edge/training_model.onnx"
        private const val EVAL_MODEL = "edge/eval_model.onnx"
        private const val OPTIMIZER_MODEL = "edge/optimizer_model.onnx"
        private const val ADVICE = "install the app again, or one that was built for this phone"

        private fun load(): OrtEnvironment {
            val environment = try {
                OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR)
            } catch (error: LinkageError) { // what a library that is missing or of another ABI ends in
                throw EngineException("onnxruntime cannot be loaded: ${firstLine(error)}: $ADVICE", error)
            }
            if (!environment.isTrainingEnabled) {
                throw EngineException("this onnxruntime ${environment.version} cannot train: $ADVICE")
            }
            return environment
        }
    }
}

/** Run a call of the engine. Throws EngineException where it throws OrtException. */
internal inline fun <T> engineCall(what: String, call: () -> T): T = try {
    call()
} catch (error: OrtException) {
    throw EngineException("onnxruntime fails in $what: ${firstLine(error)}", error)
}

/** The engine's messages run over many lines. */
internal fun firstLine(error: Throwable): String =
    (error.message ?: error.javaClass.simpleName).trim().lineSequence().first()
