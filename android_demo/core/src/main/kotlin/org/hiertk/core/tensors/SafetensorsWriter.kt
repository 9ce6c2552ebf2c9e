/** Writing safetensors files, float32 alone. */
package org.hiertk.core.tensors

import kotlinx.serialization.json.add
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.put
import kotlinx.serialization.json.putJsonArray
import kotlinx.serialization.json.putJsonObject
import org.hiertk.core.writeAtomically
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.file.Path

private const val ALIGNMENT = 8

/** Write tensors by their names, and what is to be said of them, atomically. Throws StorageException. */
fun writeSafetensors(target: Path, tensors: Map<String, FloatTensor>, metadata: Map<String, String>) {
    val header = headerOf(tensors, metadata)
    writeAtomically(target) { stream ->
        stream.write(room(Long.SIZE_BYTES).putLong(header.size.toLong()).array())
        stream.write(header)
        for (tensor in tensors.values) stream.write(bytesOf(tensor.values))
    }
}

/** Return the header, with as many spaces as it takes to align what follows. */
private fun headerOf(tensors: Map<String, FloatTensor>, metadata: Map<String, String>): ByteArray {
    var end = 0L
    val header = buildJsonObject {
        putJsonObject(METADATA) { metadata.forEach { (name, text) -> put(name, text) } }
        for ((name, tensor) in tensors) {
            putJsonObject(name) {
                put("dtype", "F32")
                putJsonArray("shape") { tensor.shape.forEach { add(it) } }
                putJsonArray("data_offsets") {
                    add(end)
                    end += tensor.values.size.toLong() * Float.SIZE_BYTES
                    add(end)
                }
            }
        }
    }
    val text = header.toString().toByteArray()
    val missing = (ALIGNMENT - text.size % ALIGNMENT) % ALIGNMENT
    return text + ByteArray(missing) { ' '.code.toByte() }
}

private fun bytesOf(values: FloatArray): ByteArray {
    val bytes = room(values.size * Float.SIZE_BYTES)
    bytes.asFloatBuffer().put(values)
    return bytes.array()
}

private fun room(bytes: Int): ByteBuffer = ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN)
