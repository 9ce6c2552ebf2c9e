/**
 * The engine's checkpoint as a file: what is in it, and the early exit's rows.
 *
 * The Java API of the engine neither gives nor takes parameters. Its checkpoint is a flatbuffer, though
 * (`ort_flatbuffers_py/fbs` of the Python wheel is made from its schema), in which each tensor lies as
 * it is in memory: rows are read there, and written in place.
 */
package org.hiertk.learner.ort

import org.hiertk.core.BundleException
import org.hiertk.core.StorageException
import org.hiertk.core.learning.ExitRow
import org.hiertk.core.reasonOf
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.FileChannel
import java.nio.file.Path
import java.nio.file.StandardOpenOption

/** A tensor: sizes, the schema's data type, and where its bytes are. */
internal class StoredTensor(val shape: List<Long>, val type: Int, val bytes: Span) {
    fun isLike(other: StoredTensor): Boolean =
        shape == other.shape && type == other.type && bytes.length == other.bytes.length
}

/** A checkpoint, read from end to end. Throws BundleException if it is none, or damaged. */
internal class CheckpointFile(private val path: Path) {
    private val file: ByteBuffer = map(path)

    /** What the module trains and what it only reads, by PyTorch's names. */
    val parameters: Map<String, StoredTensor>

    /** The optimizer's moments by their own names, for each trained parameter; none in an exported checkpoint. */
    val moments: List<Pair<String, Map<String, StoredTensor>>>

    private val trained: Set<String>
    private val integers: Map<String, Int?>

    init {
        try {
            val root = FlatTable.root(file, IDENTIFIER)
            val module = root.table(MODULE) ?: throw IndexOutOfBoundsException("no parameters")
            if (module.boolean(MODULE_IS_NOMINAL) || module.boolean(MODULE_HAS_EXTERNAL_DATA)) {
                throw IndexOutOfBoundsException("its tensors lie in another file")
            }
            val trainedTensors = module.tables(MODULE_TRAINED).associate(::readNamed)
            trained = trainedTensors.keys
            parameters = trainedTensors + module.tables(MODULE_FROZEN).associate(::readNamed)
            moments = root.tables(OPTIMIZER_GROUPS).flatMap { it.tables(GROUP_STATES) }
                .map { state -> state.text(STATE_PARAMETER) to state.tables(STATE_MOMENTS).associate(::readNamed) }
            integers = root.table(PROPERTIES)?.tables(PROPERTIES_INTEGERS).orEmpty()
                .associate { it.text(PROPERTY_NAME) to it.place(PROPERTY_VALUE) }
        } catch (error: IndexOutOfBoundsException) {
            throw BundleException("$path is no checkpoint of this engine: ${error.message}: $ADVICE", error)
        }
    }

    /** Refuse a checkpoint with other tensors than the exported one. Throws BundleException. */
    fun checkLike(exported: CheckpointFile) {
        val fits = trained == exported.trained && parameters.keys == exported.parameters.keys &&
            parameters.all { (name, tensor) -> tensor.isLike(exported.parameters.getValue(name)) }
        if (!fits || !momentsFit()) {
            throw BundleException("$path does not fit ${exported.path}: take the bundle that it was made with")
        }
    }

    /** Refuse a checkpoint whose early exit is of another size. Throws BundleException. */
    fun checkExit(slots: Int, channels: Int) {
        val weight = parameters[WEIGHT]
        val bias = parameters[BIAS]
        val fits = weight != null && weight.isFloats(listOf(slots, channels)) &&
            bias != null && bias.isFloats(listOf(slots))
        if (!fits) throw BundleException("$path: no early exit of $slots slots: export the bundle again")
    }

    // The engine does not survive a parameter that has not all the moments that its optimizer asks for.
    private fun momentsFit(): Boolean {
        if (moments.isEmpty()) return true
        val kinds = moments.map { (_, tensors) -> tensors.keys }.toSet()
        return moments.size == trained.size && moments.map { it.first }.toSet() == trained && kinds.size == 1 &&
            moments.all { (name, tensors) -> tensors.values.all { it.isLike(parameters.getValue(name)) } }
    }

    /** Return a slot's row of the early exit, which `checkExit` has seen. */
    fun readRow(slot: Int): ExitRow {
        val channels = parameters.getValue(WEIGHT).shape[1].toInt()
        val weight = weightStart(slot)
        return ExitRow(
            FloatArray(channels) { file.getFloat(weight + it * Float.SIZE_BYTES) },
            file.getFloat(biasStart(slot)),
        )
    }

    /** Write a slot's row in place; not atomically: into a file that is nobody's checkpoint yet. */
    fun writeRow(slot: Int, row: ExitRow) {
        val weight = room(row.weight.size * Float.SIZE_BYTES)
        weight.asFloatBuffer().put(row.weight)
        val bias = room(Float.SIZE_BYTES)
        bias.putFloat(0, row.bias)
        write(weight, weightStart(slot))
        write(bias, biasStart(slot))
    }

    /** Write an integer property in place, which the file has; as `writeRow`. */
    fun writeInteger(name: String, value: Long) {
        val place = integers[name]
        if (place == null && value != 0L) throw StorageException("$path: the engine left out $name: save it again")
        if (place != null) write(room(Long.SIZE_BYTES).also { it.putLong(0, value) }, place)
    }

    private fun room(bytes: Int): ByteBuffer = ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN)

    private fun write(data: ByteBuffer, start: Int) = try {
        FileChannel.open(path, StandardOpenOption.WRITE).use { channel ->
            while (data.hasRemaining()) channel.write(data, (start + data.position()).toLong())
        }
    } catch (error: IOException) {
        throw StorageException("$path: ${reasonOf(error)}: free some storage of the phone", error)
    }

    private fun weightStart(slot: Int): Int {
        val weight = parameters.getValue(WEIGHT)
        return weight.bytes.start + slot * weight.shape[1].toInt() * Float.SIZE_BYTES
    }

    private fun biasStart(slot: Int): Int = parameters.getValue(BIAS).bytes.start + slot * Float.SIZE_BYTES

    private fun readNamed(found: FlatTable) = found.text(TENSOR_NAME) to readTensor(found)

    private fun readTensor(found: FlatTable) =
        StoredTensor(found.longs(TENSOR_SHAPE), found.int(TENSOR_TYPE), found.bytes(TENSOR_BYTES))

    private fun StoredTensor.isFloats(sizes: List<Int>): Boolean =
        type == FLOAT32 && shape == sizes.map(Int::toLong) &&
            bytes.length == sizes.fold(Float.SIZE_BYTES) { product, size -> product * size }

    companion object {
        // Names and numbers of the engine's schema.
        private const val IDENTIFIER = "ODTC"
        private const val MODULE = 1
        private const val OPTIMIZER_GROUPS = 2
        private const val PROPERTIES = 3
        private const val MODULE_TRAINED = 0
        private const val MODULE_FROZEN = 1
        private const val MODULE_IS_NOMINAL = 2
        private const val MODULE_HAS_EXTERNAL_DATA = 3
        private const val GROUP_STATES = 3
        private const val STATE_PARAMETER = 0
        private const val STATE_MOMENTS = 1
        private const val TENSOR_NAME = 0
        private const val TENSOR_SHAPE = 2
        private const val TENSOR_TYPE = 3
        private const val TENSOR_BYTES = 4
        private const val PROPERTIES_INTEGERS = 0
        private const val PROPERTY_NAME = 0
        private const val PROPERTY_VALUE = 1
        private const val FLOAT32 = 1

        private const val WEIGHT = "exit.weight" // (class slots, channels)
        private const val BIAS = "exit.bias" // (class slots,)
        private const val ADVICE = "take the checkpoint before it, or begin anew from the bundle"

        // Mapped: of a large file only what is looked at takes memory.
        private fun map(path: Path): ByteBuffer = try {
            FileChannel.open(path, StandardOpenOption.READ).use { channel ->
                if (channel.size() > Int.MAX_VALUE) throw IOException("larger than 2 GiB")
                channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size()).order(ByteOrder.LITTLE_ENDIAN)
            }
        } catch (error: IOException) {
            throw BundleException("$path: ${reasonOf(error)}: $ADVICE", error)
        }
    }
}
