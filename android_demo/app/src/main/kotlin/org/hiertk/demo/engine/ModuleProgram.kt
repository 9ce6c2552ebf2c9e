/** ExecuTorch on the phone: `Module` alone, since the step programs are functions (docs/decisions/0016). */
package org.hiertk.demo.engine

import org.hiertk.core.BundleException
import org.hiertk.core.EngineException
import org.hiertk.core.onOneLine
import org.hiertk.core.tensors.FloatTensor
import org.hiertk.learner.executorch.StepProgram
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor
import java.nio.FloatBuffer
import java.nio.file.Path

private const val METHOD = "forward"
private const val SHOWN = 300

/**
 * A `.pte` file, opened. The number of threads is the whole process's, as the newest program sets it.
 *
 * Throws EngineException if ExecuTorch is not there, BundleException if it refuses the file.
 */
class ModuleProgram(private val file: Path, threads: Int) : StepProgram {
    private val module = load(threads)

    // Kept from run to run: native memory that is given up waits for the garbage collector.
    private var buffers: List<FloatBuffer> = emptyList()

    override fun run(inputs: List<FloatTensor>): List<FloatTensor> {
        val values = inputs.zip(buffersOf(inputs), ::value)
        try {
            return module.execute(METHOD, *values.toTypedArray()).map(::result)
        } catch (error: RuntimeException) { // its own, and what a value of another kind ends in
            throw EngineException("$file: executorch fails: ${reason(error)}: export the bundle again", error)
        }
    }

    override fun close() = module.destroy()

    private fun buffersOf(inputs: List<FloatTensor>): List<FloatBuffer> {
        if (buffers.map { it.capacity() } != inputs.map { it.values.size }) {
            buffers = inputs.map { Tensor.allocateFloatBuffer(it.values.size) }
        }
        return buffers
    }

    private fun value(input: FloatTensor, buffer: FloatBuffer): EValue {
        buffer.clear()
        buffer.put(input.values)
        buffer.rewind()
        return EValue.from(Tensor.fromBlob(buffer, LongArray(input.shape.size) { input.shape[it].toLong() }))
    }

    /** Return a copy: the next run writes where the engine's own values are. */
    private fun result(value: EValue): FloatTensor {
        val tensor = value.toTensor()
        return FloatTensor(tensor.shape().map(Long::toInt), tensor.dataAsFloatArray)
    }

    private fun load(threads: Int): Module = try {
        Module.load(file.toString(), Module.LOAD_MODE_MMAP, threads).also { it.loadMethod(METHOD) }
    } catch (error: LinkageError) { // what a library that is missing or of another ABI ends in
        throw EngineException("executorch cannot be loaded on this phone: ${reason(error)}: take a bundle for onnxruntime", error)
    } catch (error: RuntimeException) {
        throw BundleException("$file is no program that executorch runs: ${reason(error)}: export the bundle again", error)
    }

    private fun reason(error: Throwable) = onOneLine(error.message ?: error.javaClass.simpleName, SHOWN)
}
