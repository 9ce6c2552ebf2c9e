/** The parts of a bundle's manifest; none can be made with values that no export writes. */
package org.hiertk.core.bundle

import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import org.hiertk.core.ProtocolException
import org.hiertk.core.classes.cleanClassName
import org.hiertk.core.codec.FeatureShape
import org.hiertk.core.codec.MAX_VALUES

internal const val MAX_CLASSES = 4096
internal const val MAX_FILE_BYTES = 4L shl 30
private const val LARGEST = 1 shl 20
private val MODEL_NAME = Regex("[A-Za-z0-9_.:-]{1,200}")
private val SHA256 = Regex("[0-9a-f]{64}")

/** Where a bundle goes. */
@Serializable
enum class Target {
    @SerialName("linux") LINUX,
    @SerialName("android") ANDROID,
    @SerialName("rpi") RPI,
}

/** What trains on the device. */
@Serializable
enum class Backend {
    @SerialName("onnxruntime") ONNXRUNTIME,
    @SerialName("executorch") EXECUTORCH,
    @SerialName("torch") TORCH,
}

/** How the network begins. */
@Serializable
enum class Stem {
    @SerialName("torchvision") TORCHVISION,
    @SerialName("3x3") THREE_BY_THREE,
}

/** BATCH trains on each batch's own statistics, FROZEN keeps the exported ones, GROUP has none. */
@Serializable
enum class Normalization {
    @SerialName("batch") BATCH,
    @SerialName("frozen") FROZEN,
    @SerialName("group") GROUP,
}

/** Which network, and where it is cut. bottleneck: channels of the features; null: the network's own. */
@Serializable
data class ModelInfo(
    val name: String,
    val split: Int,
    @SerialName("split_count") val splitCount: Int,
    @SerialName("split_module") val splitModule: String,
    val stem: Stem,
    @SerialName("edge_parameters") val edgeParameters: Long,
    @SerialName("cloud_parameters") val cloudParameters: Long,
    val normalization: Normalization = Normalization.BATCH,
    val bottleneck: Int? = null,
) {
    init {
        require(MODEL_NAME.matches(name)) { "model.name is not a network's name" }
        requireSize("model.split", split)
        requireSize("model.split_count", splitCount)
        require(letters(splitModule) <= 300) { "model.split_module is too long" }
        require(edgeParameters >= 0 && cloudParameters >= 0) { "a count of the model's parameters is below 0" }
        if (bottleneck != null) requireSize("model.bottleneck", bottleneck)
    }
}

/** How an image becomes an input (3, size, size): RGB, resized bilinearly, /255, minus mean, over std. */
@Serializable
data class InputInfo(val size: Int, val mean: List<Double>, val std: List<Double>) {
    init {
        require(size in 8..1024) { "input.size is $size, not 8 to 1024" }
        require(mean.size == 3 && std.size == 3) { "input.mean and input.std are not three values each" }
        require(std.all { it > 0 }) { "input.std has a value that is not above 0" }
    }

    /** Values of one input; as 8-bit RGB its bytes. */
    val values: Int get() = 3 * size * size
}

/** What the edge partition sends. shape: C, H, W of one sample; bits: 8 or 4 for each value. */
@Serializable
data class FeatureInfo(val shape: List<Int>, val bits: Int) {
    init {
        require(shape.size == 3) { "features.shape has ${shape.size} sizes, not 3" }
        shape.forEach { requireSize("features.shape", it) }
        val values = shape.fold(1L) { product, size -> minOf(product * size, Int.MAX_VALUE.toLong()) }
        require(values <= MAX_VALUES) { "features.shape has more than $MAX_VALUES values" }
        require(bits == 8 || bits == 4) { "features.bits is $bits, not 8 or 4" }
    }

    /** Values of one sample. */
    val values: Int get() = shape[0] * shape[1] * shape[2]

    /** Return the shape of a batch. Throws ProtocolException where it has too many values. */
    fun of(count: Int): FeatureShape = FeatureShape(count, shape[0], shape[1], shape[2])
}

/** The class map at export: names[i] is in slot i; slots up to `capacity` are free. */
@Serializable
data class ClassInfo(val names: List<String>, val capacity: Int) {
    init {
        require(capacity in 1..MAX_CLASSES) { "classes.capacity is $capacity, not 1 to $MAX_CLASSES" }
        require(names.size <= capacity) { "${names.size} classes do not fit $capacity slots" }
        require(names.toSet().size == names.size) { "class names repeat" }
        names.forEach { require(isClean(it)) { "classes.names has a name that is not in its usual form" } }
    }
}

/** The optimizer of the edge partition. */
@Serializable
sealed class OptimizerInfo {
    /** The rate of the export. */
    abstract val learningRate: Double

    /** The weight decay of the export. */
    abstract val weightDecay: Double

    internal fun check() {
        require(learningRate > 0 && learningRate <= 10) { "optimizer.learning_rate is not above 0 and up to 10" }
        requireShare("optimizer.weight_decay", weightDecay)
    }
}

/** AdamW. */
@Serializable
@SerialName("adamw")
data class AdamW(
    @SerialName("learning_rate") override val learningRate: Double = 1e-3,
    val beta1: Double = 0.9,
    val beta2: Double = 0.999,
    val epsilon: Double = 1e-8,
    @SerialName("weight_decay") override val weightDecay: Double = 0.0,
) : OptimizerInfo() {
    init {
        check()
        requireShare("optimizer.beta1", beta1)
        requireShare("optimizer.beta2", beta2)
        require(epsilon > 0) { "optimizer.epsilon is not above 0" }
    }
}

/** SGD as PyTorch defines it, without dampening. */
@Serializable
@SerialName("sgd")
data class Sgd(
    @SerialName("learning_rate") override val learningRate: Double = 0.01,
    val momentum: Double = 0.9,
    @SerialName("weight_decay") override val weightDecay: Double = 0.0,
    val nesterov: Boolean = false,
) : OptimizerInfo() {
    init {
        check()
        requireShare("optimizer.momentum", momentum)
        require(!nesterov || momentum > 0) { "optimizer.nesterov needs a momentum above 0" }
    }
}

/** The engine that trains on the device, in exactly the version that wrote its files. */
@Serializable
data class EngineInfo(
    val backend: Backend,
    val version: String,
    @SerialName("batch_size") val batchSize: Int,
) {
    init {
        require(letters(version) <= 40) { "engine.version is too long" }
        requireSize("engine.batch_size", batchSize)
    }
}

/** One comparison of the exported step with the PyTorch reference. */
@Serializable
data class ParityCheck(val what: String, val worst: Double, val tolerance: Double, val where: String = "") {
    init {
        require(worst >= 0 && tolerance > 0) { "parity has a value that no comparison gives" }
    }
}

/** A file of the bundle. sha256: 64 hex digits; size: bytes. */
@Serializable
data class FileInfo(val sha256: String, val size: Long) {
    init {
        require(SHA256.matches(sha256)) { "files has a sha256 that is not 64 hex digits" }
        require(size in 0..MAX_FILE_BYTES) { "files has a size that is not 0 to $MAX_FILE_BYTES" }
    }
}

/** A bundle that another one was grown from: the same, with fewer class slots. bundleId: 64 hex digits. */
@Serializable
data class Ancestor(
    @SerialName("bundle_id") val bundleId: String,
    @SerialName("class_capacity") val classCapacity: Int,
) {
    init {
        require(SHA256.matches(bundleId)) { "grown_from has a bundle id that is not 64 hex digits" }
        require(classCapacity in 1..MAX_CLASSES) { "grown_from has a capacity that is not 1 to $MAX_CLASSES" }
    }
}

private fun requireSize(what: String, value: Int) = require(value in 1..LARGEST) { "$what is $value, not 1 to $LARGEST" }

private fun requireShare(what: String, value: Double) =
    require(value >= 0 && value < 1) { "$what is not from 0 to below 1" }

private fun letters(text: String): Int = text.codePointCount(0, text.length)

private fun isClean(name: String): Boolean = try {
    cleanClassName(name) == name
} catch (_: ProtocolException) {
    false
}
