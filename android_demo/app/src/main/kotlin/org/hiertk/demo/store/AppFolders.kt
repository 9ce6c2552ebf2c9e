/** Where the app keeps its files: all of them private to it. */
package org.hiertk.demo.store

import android.content.Context
import java.nio.file.Path

/** A network in use has its own state: what was learned with one is of no use to another. */
class AppFolders(context: Context) {
    private val root: Path = context.filesDir.toPath()

    /** Unpacked bundles, a folder each. */
    val bundles: Path = root.resolve("bundles")

    /** What the device learned, a folder for each bundle. */
    val states: Path = root.resolve("state")

    /** The pairing, encrypted. */
    val pairing: Path = root.resolve("pairing")

    /** What the device learned with a bundle. */
    fun state(bundleName: String) = StateFolder(states.resolve(bundleName))

    /** Bytes that the app may still write. */
    val freeBytes: Long get() = root.toFile().usableSpace
}

/** The files of one bundle's device. */
class StateFolder(val root: Path) {
    val classes: Path = root.resolve("classes.json")
    val checkpoints: Path = root.resolve("checkpoints")
    val rehearsal: Path = root.resolve("rehearsal")
    val budget: Path = root.resolve("budget")

    /** Is there as soon as the engine has done the bundle's golden steps on this phone. */
    val proved: Path = root.resolve("proved")

    /** Features that wait for the cloud. One device's messages are nobody else's. */
    fun spool(device: String): Path = root.resolve("spool").resolve(device)
}
