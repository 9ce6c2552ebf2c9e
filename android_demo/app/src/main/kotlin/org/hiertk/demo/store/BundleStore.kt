/** The bundle in use: built into the app by `hiertk export --install-into`, or chosen by the user. */
package org.hiertk.demo.store

import android.content.Context
import android.content.res.AssetManager
import android.net.Uri
import org.hiertk.core.StorageException
import org.hiertk.core.bundle.Bundle
import org.hiertk.core.bundle.openBundle
import org.hiertk.core.bundle.parseManifest
import org.hiertk.core.bundle.unpackBundle
import org.hiertk.core.deleteTree
import org.hiertk.core.reasonOf
import org.hiertk.core.writeFolderAtomically
import java.io.IOException
import java.nio.file.Files
import java.nio.file.Path

private const val BUILT_IN = "bundle"
private const val MANIFEST = "manifest.json"

/** Opens and installs bundles; takes seconds, so never on the main thread. */
class BundleStore(private val context: Context, private val folders: AppFolders, private val preferences: Preferences) {
    /** Return the bundle in use; null: there is none yet. Throws BundleException, StorageException. */
    fun current(): Bundle? {
        val chosen = preferences.bundleName ?: return installBuiltIn()
        return openBundle(folders.bundles.resolve(chosen))
    }

    /** Take a bundle's zip into use. Throws BundleException, StorageException; then the one before stays. */
    fun install(zip: Uri): Bundle {
        val stream = try {
            context.contentResolver.openInputStream(zip)
        } catch (error: IOException) {
            throw StorageException("the chosen file cannot be read: ${reasonOf(error)}: choose it again", error)
        } catch (error: SecurityException) {
            throw StorageException("the chosen file may not be read any more: choose it again", error)
        } ?: throw StorageException("the chosen file is not there any more: choose another one")
        return stream.use { inUse(unpackBundle(it, madeFolder())) }
    }

    /** Delete all bundles. Throws IOException. */
    fun clear() {
        preferences.bundleName = null
        deleteTree(folders.bundles)
    }

    private fun installBuiltIn(): Bundle? = try {
        if (MANIFEST in context.assets.list(BUILT_IN).orEmpty()) copyBuiltIn() else null
    } catch (error: IOException) {
        throw StorageException("the bundle in the app cannot be read: ${reasonOf(error)}: install the app again", error)
    }

    private fun copyBuiltIn(): Bundle {
        val data = context.assets.open("$BUILT_IN/$MANIFEST").use { it.readBytes() }
        val folder = madeFolder().resolve(parseManifest(data, "the bundle in the app").bundleName)
        writeFolderAtomically(folder) { copy(context.assets, BUILT_IN, it) }
        return inUse(openBundle(folder))
    }

    private fun inUse(bundle: Bundle): Bundle {
        preferences.bundleName = bundle.manifest.bundleName
        return bundle
    }

    private fun madeFolder(): Path = try {
        Files.createDirectories(folders.bundles)
    } catch (error: IOException) {
        throw StorageException("no folder for bundles: ${reasonOf(error)}: free some space", error)
    }

    /** Copy a folder out of the app; an entry without entries of its own is a file. */
    private fun copy(assets: AssetManager, from: String, into: Path) {
        Files.createDirectories(into)
        for (name in assets.list(from).orEmpty()) {
            val isFolder = assets.list("$from/$name").orEmpty().isNotEmpty()
            if (isFolder) {
                copy(assets, "$from/$name", into.resolve(name))
            } else {
                assets.open("$from/$name").use { Files.copy(it, into.resolve(name)) }
            }
        }
    }
}
