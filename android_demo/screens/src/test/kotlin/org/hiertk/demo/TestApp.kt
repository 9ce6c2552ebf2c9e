/** The app as it is, activity and service, on Robolectric's framework. */
package org.hiertk.demo

import android.Manifest
import android.content.ComponentName
import android.content.Context
import android.content.Intent
import android.net.ConnectivityManager
import android.net.NetworkCapabilities
import android.os.Looper
import android.view.View
import android.widget.TextView
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.shadows.ShadowNetworkCapabilities
import java.time.Duration
import kotlin.test.fail

private const val PATIENCE_SECONDS = 120L

/** Begins as installed, and shown. camera: whether it is allowed. */
class TestApp(camera: Boolean = true) : AutoCloseable {
    private val application = RuntimeEnvironment.getApplication()
    private val service = prepared(camera)
    private var controller: ActivityController<MainActivity>

    /** The app's state. */
    val phone: Phone get() = service.get().phone

    /** The one activity. */
    val activity: MainActivity get() = controller.get()

    /** What is seen. */
    val root: View get() = activity.findViewById(android.R.id.content)

    init {
        val binder = service.get().onBind(Intent())
        shadowOf(application).setComponentNameAndServiceForBindService(ComponentName(application, LearningService::class.java), binder)
        controller = Robolectric.buildActivity(MainActivity::class.java).setup()
        await("the first screen") { phone.state !is PhoneState.Opening }
    }

    /** Turn the phone, or change its language: the activity is made anew. qualifiers: as "+land". */
    fun turn(qualifiers: String) {
        RuntimeEnvironment.setQualifiers(qualifiers)
        controller.recreate()
        idle()
    }

    /** Press what has this id. */
    fun click(id: Int) {
        check(view<View>(id).performClick()) { "nothing happens at ${name(id)}" }
        idle()
    }

    /** Type into a field, in place of what is there. */
    fun type(id: Int, text: String) {
        view<TextView>(id).text = text
        idle()
    }

    /** Return a view that is there and seen. */
    fun <T : View> view(id: Int): T {
        val found = root.findViewById<T>(id) ?: fail("there is no ${name(id)}")
        if (!found.isShown) fail("${name(id)} is not seen")
        return found
    }

    /** Whether a view is there and seen. */
    fun isSeen(id: Int): Boolean = root.findViewById<View>(id)?.isShown == true

    /** The text of a view that is seen. */
    fun text(id: Int): String = view<TextView>(id).text.toString()

    /** Let the main thread do what is due, and half a second pass on its clock. */
    fun idle() = shadowOf(Looper.getMainLooper()).idleFor(Duration.ofMillis(500))

    /** Wait until something is so, in the machine's own time. */
    fun await(what: String, isSo: () -> Boolean) {
        val deadline = System.nanoTime() + PATIENCE_SECONDS * 1_000_000_000
        while (true) {
            idle()
            if (isSo()) return
            if (System.nanoTime() >= deadline) fail("not within $PATIENCE_SECONDS s: $what")
            Thread.sleep(20)
        }
    }

    /** Tell the app that there is Wi-Fi, or nothing. */
    fun connect(hasWifi: Boolean) {
        val manager = application.getSystemService(ConnectivityManager::class.java)
        val network = checkNotNull(manager.activeNetwork)
        for (callback in shadowOf(manager).networkCallbacks) {
            if (hasWifi) callback.onCapabilitiesChanged(network, wifi()) else callback.onLost(network)
        }
        idle()
    }

    override fun close() {
        controller.pause().stop().destroy()
        service.destroy()
        await("all threads are over") { Thread.getAllStackTraces().keys.none { it.name in setOf("phone", "learning") } }
    }

    private fun prepared(camera: Boolean) = Robolectric.buildService(LearningService::class.java).also {
        val manager = application.getSystemService(Context.CONNECTIVITY_SERVICE) as ConnectivityManager
        shadowOf(manager).setNetworkCapabilities(manager.activeNetwork, wifi())
        if (camera) shadowOf(application).grantPermissions(Manifest.permission.CAMERA)
    }.create().startCommand(0, 1)

    private fun wifi(): NetworkCapabilities = ShadowNetworkCapabilities.newInstance().also {
        shadowOf(it).addCapability(NetworkCapabilities.NET_CAPABILITY_NOT_METERED)
    }

    private fun name(id: Int) = application.resources.getResourceEntryName(id)
}
