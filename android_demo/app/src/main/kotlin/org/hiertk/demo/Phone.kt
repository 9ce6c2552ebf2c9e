/** The app's one state, whichever screen shows it: which bundle, which pairing, and the device made of them. */
package org.hiertk.demo

import android.content.Context
import android.net.Uri
import android.os.Handler
import android.os.Looper
import org.hiertk.core.ConfigException
import org.hiertk.core.HierTkException
import org.hiertk.core.StorageException
import org.hiertk.core.bundle.Bundle
import org.hiertk.core.deleteTree
import org.hiertk.core.link.LinkLimits
import org.hiertk.core.pairing.Pairing
import org.hiertk.core.pairing.parsePairing
import org.hiertk.core.reasonOf
import org.hiertk.demo.store.AppFolders
import org.hiertk.demo.store.BundleStore
import org.hiertk.demo.store.PairingStore
import org.hiertk.demo.store.Preferences
import java.io.IOException
import java.util.concurrent.Executors
import java.util.concurrent.atomic.AtomicBoolean

private const val LOOK_MILLIS = 500L

/** What there is to show. */
sealed class PhoneState {
    /** A bundle is opened or exchanged. */
    object Opening : PhoneState()

    /** There is no bundle yet. */
    object NoBundle : PhoneState()

    /** The bundle or the device's state cannot be used: why, in a line. */
    class Failed(val line: String) : PhoneState()

    /** Everything goes on. */
    class Ready(val device: Device) : PhoneState()
}

/** To be called in the main thread; what takes long is done in one of its own. changed: in the main thread. */
class Phone(private val context: Context, private val changed: () -> Unit) {
    private val main = Handler(Looper.getMainLooper())
    private val worker = Executors.newSingleThreadExecutor { Thread(it, "phone") }
    private val folders = AppFolders(context)
    private val bundles: BundleStore
    private val pairings = PairingStore(folders.pairing)
    private val network = NetworkWatch(context) { kind -> main.post { device?.network(kind) } }
    private val isToldAlready = AtomicBoolean(false)

    /** What the user chose. */
    val preferences = Preferences(context)

    /** What there is to show; any thread may look. */
    @Volatile
    var state: PhoneState = PhoneState.Opening
        private set

    /** What went wrong with the user's last wish, in a line; empty: nothing. */
    var complaint = ""
        private set

    /** The name that is being typed: it outlives the screen. */
    var draft = ""

    /** Bytes that the app may still write. */
    val freeBytes: Long get() = folders.freeBytes

    /** The device, if there is one. */
    val device: Device? get() = (state as? PhoneState.Ready)?.device

    private val look = object : Runnable {
        override fun run() {
            orComplain { device?.teachWhatIsDue() }
            tell()
            main.postDelayed(this, LOOK_MILLIS)
        }
    }

    init {
        bundles = BundleStore(context, folders, preferences)
        network.start()
        main.postDelayed(look, LOOK_MILLIS)
        open()
    }

    /** Open the bundle in use and the device's state. */
    fun open() = exchanging { bundles.current() }

    /** Take a bundle's zip into use. */
    fun chooseBundle(zip: Uri) = exchanging {
        try {
            bundles.install(zip)
        } catch (error: HierTkException) {
            complain(error.message.orEmpty())
            bundles.current()
        }
    }

    /** Pair with a deployment's cloud, by the text of a pairing code. Throws ConfigException. */
    fun pair(code: String) {
        val pairing = parsePairing(code)
        val bundle = device?.bundle ?: return
        val ours = bundle.manifest.deployment
        if (pairing.deployment != ours) {
            throw ConfigException(context.getString(R.string.pairing_other_deployment, pairing.deployment, ours))
        }
        exchanging {
            keep(code)
            bundle
        }
    }

    /** End the pairing: the password and what waits to be sent are deleted. */
    fun unpair() {
        val device = device ?: return
        val spool = device.pairing?.let { folders.state(device.bundle.manifest.bundleName).spool(it.device) }
        exchanging {
            pairings.delete()
            if (spool != null) delete { deleteTree(spool) }
            device.bundle
        }
    }

    /** Delete everything that the app has. */
    fun forgetEverything() = exchanging {
        pairings.delete()
        preferences.clear()
        delete {
            deleteTree(folders.states)
            bundles.clear()
        }
        bundles.current()
    }

    /** Set what the link may take. */
    fun limit(limits: LinkLimits) {
        preferences.limits = limits
        device?.limit(limits)
    }

    /** The user has read what went wrong and goes on. */
    fun dismiss() {
        complaint = ""
    }

    /** Do what the user asked for; what cannot be is told in a line. */
    fun trying(what: () -> Unit) {
        complaint = try {
            what()
            ""
        } catch (error: HierTkException) {
            error.message.orEmpty()
        }
    }

    /** The app is sent away: nothing must be lost if it does not come back. */
    fun settle() {
        orComplain { device?.settle() }
    }

    /** Stop all threads; takes seconds, in a thread of its own. */
    fun close() {
        main.removeCallbacks(look)
        network.stop()
        val last = device
        state = PhoneState.Opening
        worker.execute { orComplain { last?.close() } }
        worker.shutdown()
    }

    /** Close the device, and open another one with the bundle that `bundle` returns. */
    private fun exchanging(bundle: () -> Bundle?) {
        val last = device
        state = PhoneState.Opening
        tell()
        worker.execute {
            orComplain { last?.close() }
            val next = try {
                opened(bundle())
            } catch (error: HierTkException) {
                PhoneState.Failed(error.message.orEmpty())
            }
            main.post { become(next) }
        }
    }

    private fun opened(bundle: Bundle?): PhoneState {
        if (bundle == null) return PhoneState.NoBundle
        val folder = folders.state(bundle.manifest.bundleName)
        return PhoneState.Ready(Device(bundle, folder, pairingFor(bundle), preferences.limits, network.kind, ::tell))
    }

    /** Return the pairing if it is for this bundle's deployment. */
    private fun pairingFor(bundle: Bundle): Pairing? = try {
        pairings.load()?.let(::parsePairing)?.takeIf { it.deployment == bundle.manifest.deployment }
    } catch (error: HierTkException) {
        complain(error.message.orEmpty())
        null
    }

    private fun become(next: PhoneState) {
        if (worker.isShutdown) {
            (next as? PhoneState.Ready)?.let { ready -> Thread { orComplain { ready.device.close() } }.start() }
            return
        }
        state = next
        tell()
    }

    private fun keep(code: String) {
        try {
            pairings.save(code)
        } catch (error: StorageException) {
            complain(error.message.orEmpty())
        }
    }

    private fun delete(files: () -> Unit) = try {
        files()
    } catch (error: IOException) {
        throw StorageException("not everything could be deleted: ${reasonOf(error)}: try it again", error)
    }

    private fun orComplain(what: () -> Unit) {
        try {
            what()
        } catch (error: HierTkException) {
            complain(error.message.orEmpty())
        }
    }

    /** Tell the user what went wrong, in a line; any thread. */
    fun complain(line: String) {
        main.post {
            complaint = line
            changed()
        }
    }

    /** Tell the screen, at most once for all that is new. */
    private fun tell() {
        if (isToldAlready.getAndSet(true)) return
        main.post {
            isToldAlready.set(false)
            changed()
        }
    }
}
