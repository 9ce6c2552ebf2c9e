/** What a step is given, as the engine takes it. */
package org.hiertk.learner.ort

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import org.hiertk.core.EngineException
import org.hiertk.core.learning.StepResult
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import java.nio.LongBuffer

/** Makes tensors of images (N, 3, size, size), the exit's bias (class slots,) and labels (N,). */
internal class Inputs(private val environment: OrtEnvironment, private val size: Int) {
    // Kept from step to step: native memory that is given up waits for the garbage collector.
    private var images = allocate(0)

    /** Hand the three, under the names of the session, to `run`; they are closed afterwards. */
    fun <T> use(
        names: Set<String>, images: FloatArray, bias: FloatArray, labels: IntArray,
        run: (Map<String, OnnxTensor>) -> T,
    ): T {
        val count = labels.size.toLong()
        val shape = longArrayOf(count, CHANNELS, size.toLong(), size.toLong())
        val slots = LongBuffer.wrap(LongArray(labels.size) { labels[it].toLong() })
        return OnnxTensor.createTensor(environment, direct(images), shape).use { first ->
            tensor(FloatBuffer.wrap(bias), bias.size.toLong()).use { second ->
                OnnxTensor.createTensor(environment, slots, longArrayOf(count)).use { third ->
                    // The engine takes inputs by their position, whatever their names.
                    run(names.zip(listOf(first, second, third)).toMap(LinkedHashMap()))
                }
            }
        }
    }

    private fun tensor(values: FloatBuffer, count: Long) =
        OnnxTensor.createTensor(environment, values, longArrayOf(count))

    private fun direct(values: FloatArray): FloatBuffer {
        if (images.capacity() < values.size) images = allocate(values.size)
        images.clear()
        images.put(values)
        images.flip()
        return images
    }

    private fun allocate(values: Int): FloatBuffer =
        ByteBuffer.allocateDirect(values * Float.SIZE_BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer()

    private companion object {
        const val CHANNELS = 3L
    }
}

/** Return copies of what the engine gives: loss, features and logits, in this order. Throws EngineException. */
internal fun readResult(result: OrtSession.Result): StepResult {
    val (loss, features, logits) = List(OUTPUTS) { index ->
        val values = (result.get(index) as OnnxTensor).floatBuffer
        FloatArray(values.remaining()).also { values.get(it) }
    }
    if (loss.size != 1) throw EngineException("onnxruntime gives a loss of ${loss.size} values: export the bundle again")
    return StepResult(loss[0], features, logits)
}

private const val OUTPUTS = 3
