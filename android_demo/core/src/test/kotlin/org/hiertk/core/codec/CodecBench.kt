/**
 * The codec's speed on the JVM, for benchmarks/phone_codec.py, which takes turns with it.
 *
 * Arguments: a file of float32 (N, C, H, W), and N, C, H, W. Each line of input is "BITS REPETITIONS";
 * the answer is the seconds of one repetition, and the payload's bytes.
 */
package org.hiertk.core.codec

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.file.Files
import java.nio.file.Paths

fun main(arguments: Array<String>) {
    val (count, channels, height, width) = arguments.drop(1).map { it.toInt() }
    val shape = FeatureShape(count, channels, height, width)
    val data = ByteBuffer.wrap(Files.readAllBytes(Paths.get(arguments[0]))).order(ByteOrder.LITTLE_ENDIAN)
    val features = FloatArray(shape.values) { data.getFloat(4 * it) }
    for (line in generateSequence(::readlnOrNull)) {
        val (bits, repetitions) = line.split(' ').map { it.toInt() }
        var bytes = 0
        val started = System.nanoTime()
        repeat(repetitions) { bytes = encode(quantize(features, shape, bits)).payload.size() }
        println("${(System.nanoTime() - started) / 1e9 / repetitions} $bytes")
    }
}
