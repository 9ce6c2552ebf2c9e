/** The manifest of a bundle: everything that device, cloud and phone must agree on. */
package org.hiertk.core.bundle

import com.google.protobuf.ByteString
import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException
import java.security.MessageDigest
import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import kotlinx.serialization.json.Json
import org.hiertk.core.BundleException
import org.hiertk.core.onOneLine

internal const val MAX_MANIFEST_BYTES = 1 shl 20
private const val SCHEMA_VERSION = 1
private const val MAX_ANCESTORS = 16
private const val DEPLOYMENT_DIGITS = 16
private const val EXPORT_AGAIN = "export the bundle again"
private val FILE_NAME = Regex("[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*){0,3}")

/**
 * manifest.json.
 *
 * bundleId: 32 bytes, the sha256 of the file's bytes. Python asks besides whether the bytes are the
 * canonical form, and nobody but Python writes a manifest. Other bytes of the same meaning have an
 * id that no cloud knows, so nothing is gained by writing the canonical form here a second time.
 * grownFrom: the bundles that it descends from by `hiertk grow`, the first one first.
 */
class Manifest internal constructor(val bundleId: ByteString, content: ManifestContent) {
    val target: Target = content.target
    val model: ModelInfo = content.model
    val input: InputInfo = content.input
    val features: FeatureInfo = content.features
    val classes: ClassInfo = content.classes
    val grownFrom: List<Ancestor> = content.grownFrom
    val optimizer: OptimizerInfo = content.optimizer
    val engine: EngineInfo = content.engine
    val parity: List<ParityCheck> = content.parity
    val files: Map<String, FileInfo> = content.files

    /** The bundle id as 64 hex digits. */
    val bundleIdHex: String = hex(bundleId.toByteArray())

    /** The bundle's short name: the first 16 hex digits of its id. */
    val bundleName: String get() = bundleIdHex.take(DEPLOYMENT_DIGITS)

    /** The deployment's name in topics: of a grown bundle the first one's, so that both share a cloud. */
    val deployment: String = (grownFrom.firstOrNull()?.bundleId ?: bundleIdHex).take(DEPLOYMENT_DIGITS)
}

/** Parse manifest.json. Throws BundleException, naming the first thing that is wrong. */
fun parseManifest(data: ByteArray, where: String): Manifest {
    if (data.size > MAX_MANIFEST_BYTES) {
        throw BundleException("$where: more than $MAX_MANIFEST_BYTES bytes: $EXPORT_AGAIN")
    }
    try {
        val text = Charsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(data)).toString()
        val version = Lenient.decodeFromString<SchemaVersion>(text).number
        if (version != SCHEMA_VERSION) {
            throw BundleException(
                "$where: schema version $version is not $SCHEMA_VERSION: export the bundle again " +
                    "with the version of hiertk that this app belongs to",
            )
        }
        val digest = MessageDigest.getInstance("SHA-256").digest(data)
        return Manifest(ByteString.copyFrom(digest), Strict.decodeFromString<ManifestContent>(text))
    } catch (error: CharacterCodingException) {
        throw BundleException("$where: not text in UTF-8: $EXPORT_AGAIN", error)
    } catch (error: IllegalArgumentException) { // the parser's own exceptions are such, too
        throw BundleException("$where: ${firstLine(error)}: $EXPORT_AGAIN", error)
    }
}

@Serializable
internal class ManifestContent(
    @SerialName("schema_version") val schemaVersion: Int,
    val target: Target,
    val model: ModelInfo,
    val input: InputInfo,
    val features: FeatureInfo,
    val classes: ClassInfo,
    @SerialName("grown_from") val grownFrom: List<Ancestor> = emptyList(),
    val optimizer: OptimizerInfo,
    val engine: EngineInfo,
    val parity: List<ParityCheck>,
    val files: Map<String, FileInfo>,
) {
    init {
        for (name in files.keys) require(FILE_NAME.matches(name)) { "file name '${onOneLine(name, 80)}' is not allowed" }
        require(grownFrom.size <= MAX_ANCESTORS) { "grown_from has more than $MAX_ANCESTORS bundles" }
        val capacities = grownFrom.map { it.classCapacity } + classes.capacity
        require(capacities.zipWithNext().all { (less, more) -> less < more }) { "class slots do not grow: $capacities" }
        val ids = grownFrom.map { it.bundleId }
        require(ids.toSet().size == ids.size) { "a bundle that it was grown from is there twice" }
    }
}

@Serializable
private class SchemaVersion(@SerialName("schema_version") val number: Int)

private val Strict = Json { classDiscriminator = "name" }
private val Lenient = Json { ignoreUnknownKeys = true }

private fun firstLine(error: IllegalArgumentException): String =
    onOneLine(error.message.orEmpty().lineSequence().first(), 200).ifEmpty { "not a manifest" }

internal fun hex(data: ByteArray): String {
    val text = StringBuilder(2 * data.size)
    for (byte in data) text.append(DIGITS[byte.toInt() shr 4 and 15]).append(DIGITS[byte.toInt() and 15])
    return text.toString()
}

private const val DIGITS = "0123456789abcdef"
