/** ExecuTorch itself, that of the Python wheel, in a process beside the JVM: programs run there, all else here. */
package org.hiertk.learner.executorch

import org.hiertk.core.BundleException
import org.hiertk.core.EngineException
import org.hiertk.core.tensors.FloatTensor
import org.hiertk.learner.Python
import java.io.DataInputStream
import java.io.EOFException
import java.io.OutputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.file.Path

/** A program that src/test/python/run_programs.py runs. Throws BundleException if the engine refuses the file. */
class PipedProgram(private val file: Path) : StepProgram {
    init {
        Pipe.ask(file, emptyList())
    }

    override fun run(inputs: List<FloatTensor>): List<FloatTensor> = Pipe.ask(file, inputs)

    override fun close() {} // a program has no state, and the process is one for all tests
}

private object Pipe {
    private const val FAILED = 2
    private val process = Python.start(listOf(Python.module.resolve("src/test/python/run_programs.py").toString()))
    private val requests: OutputStream = process.outputStream.buffered()
    private val answers = DataInputStream(process.inputStream.buffered())

    fun ask(file: Path, inputs: List<FloatTensor>): List<FloatTensor> {
        val path = file.toAbsolutePath().toString().toByteArray()
        writeInt(path.size)
        requests.write(path)
        writeInt(inputs.size)
        inputs.forEach(::write)
        requests.flush()
        val status = try {
            answers.readUnsignedByte()
        } catch (error: EOFException) {
            throw AssertionError("ExecuTorch's process has ended; its last lines are above", error)
        }
        if (status == 0) return List(readInt()) { read() }
        val text = String(readBytes(readInt()).array())
        throw if (status == FAILED) EngineException("executorch fails: $text") else BundleException(text)
    }

    private fun write(tensor: FloatTensor) {
        writeInt(tensor.shape.size)
        tensor.shape.forEach(::writeInt)
        val values = room(tensor.values.size * Float.SIZE_BYTES)
        values.asFloatBuffer().put(tensor.values)
        requests.write(values.array())
    }

    private fun read(): FloatTensor {
        val shape = List(readInt()) { readInt() }
        val values = FloatArray(shape.fold(1) { product, size -> product * size })
        readBytes(values.size * Float.SIZE_BYTES).asFloatBuffer().get(values)
        return FloatTensor(shape, values)
    }

    private fun writeInt(value: Int) = requests.write(room(Int.SIZE_BYTES).putInt(value).array())

    private fun readInt(): Int = readBytes(Int.SIZE_BYTES).getInt(0)

    private fun readBytes(count: Int): ByteBuffer = room(count).also { answers.readFully(it.array()) }

    private fun room(bytes: Int): ByteBuffer = ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN)
}
