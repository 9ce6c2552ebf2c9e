/** Reading a bundle folder: nothing is used before its size and checksum are checked. */
package org.hiertk.core.bundle

import java.io.IOException
import java.nio.file.Files
import java.nio.file.LinkOption
import java.nio.file.Path
import java.security.MessageDigest
import org.hiertk.core.BundleException
import org.hiertk.core.readBounded
import org.hiertk.core.reasonOf

internal const val MANIFEST = "manifest.json"
internal const val COPY_AGAIN = "copy or export the bundle again"
private const val CHUNK = 1 shl 16
private val DEVICE_FOLDERS = listOf("edge/", "golden/", "rehearsal/")

/** A checked bundle on disk. */
class Bundle internal constructor(val folder: Path, val manifest: Manifest) {
    /** Return the path of a file for devices that the manifest lists. Throws BundleException. */
    fun path(name: String): Path {
        if (name !in manifest.files || !isForDevices(name)) {
            throw BundleException("$folder: no $name for devices in the manifest: export the bundle again")
        }
        return folder.resolve(name)
    }
}

/**
 * Open a bundle folder; what lies below cloud/ is not asked for.
 *
 * Who made it is not checked: java.security of Android 8 has no Ed25519, which manifest.sig needs.
 * So take bundles only from where you trust the way. Throws BundleException if anything is missing,
 * changed, or not as the manifest says.
 */
fun openBundle(folder: Path): Bundle {
    val place = folder.resolve(MANIFEST)
    val data = try {
        readBounded(place, MAX_MANIFEST_BYTES)
    } catch (error: IOException) {
        throw BundleException("$place: ${reasonOf(error)}: is this a bundle folder?", error)
    }
    val manifest = parseManifest(data, place.toString())
    for ((name, info) in manifest.files) if (isForDevices(name)) checkFile(folder.resolve(name), info)
    return Bundle(folder, manifest)
}

/** Return whether a file of a bundle is one that a device needs. */
internal fun isForDevices(name: String): Boolean = DEVICE_FOLDERS.any(name::startsWith)

private fun checkFile(file: Path, info: FileInfo) {
    try {
        if (!Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)) {
            val what = if (Files.exists(file, LinkOption.NOFOLLOW_LINKS)) "not a plain file" else "no such file"
            throw BundleException("$file: $what: $COPY_AGAIN")
        }
        val size = Files.size(file)
        if (size != info.size) {
            throw BundleException("$file: $size bytes, the manifest says ${info.size}: $COPY_AGAIN")
        }
        if (sha256(file) != info.sha256) {
            throw BundleException("$file: its checksum is not the manifest's: $COPY_AGAIN")
        }
    } catch (error: IOException) {
        throw BundleException("$file: ${reasonOf(error)}: $COPY_AGAIN", error)
    }
}

private fun sha256(file: Path): String {
    val digest = MessageDigest.getInstance("SHA-256")
    val chunk = ByteArray(CHUNK)
    Files.newInputStream(file).use { stream ->
        while (true) {
            val read = stream.read(chunk)
            if (read < 0) return hex(digest.digest())
            digest.update(chunk, 0, read)
        }
    }
}
