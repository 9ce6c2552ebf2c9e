/** The one activity: binds the service, and shows the screen where the user is. */
package org.hiertk.demo

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.ComponentName
import android.content.Context
import android.content.Intent
import android.content.ServiceConnection
import android.os.Bundle
import android.os.IBinder
import android.widget.FrameLayout
import org.hiertk.demo.ui.CameraAccess
import org.hiertk.demo.ui.ClassesScreen
import org.hiertk.demo.ui.MainScreen
import org.hiertk.demo.ui.Place
import org.hiertk.demo.ui.ScanScreen
import org.hiertk.demo.ui.Screen
import org.hiertk.demo.ui.SettingsScreen
import org.hiertk.demo.ui.Stage
import org.hiertk.demo.ui.StartScreen
import org.hiertk.demo.ui.Words

private const val PLACE = "place"
private const val BUNDLE = 1

/** What must outlive a rotation is in the service's Phone; here is only where the user is. */
class MainActivity : Activity() {
    private lateinit var root: FrameLayout
    private var place = Place.MAIN
    private var service: LearningService? = null
    private var stage: Stage? = null
    private var screen: Screen? = null
    private var shownFor: Any? = null
    private var isSeen = false

    private val connection = object : ServiceConnection {
        override fun onServiceConnected(name: ComponentName?, binder: IBinder?) = connected((binder as LearningService.Here).service)

        override fun onServiceDisconnected(name: ComponentName?) = disconnected()
    }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        place = Place.valueOf(savedInstanceState?.getString(PLACE) ?: Place.MAIN.name)
        root = FrameLayout(this)
        root.fitsSystemWindows = true
        setContentView(root)
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        outState.putString(PLACE, place.name)
    }

    override fun onStart() {
        super.onStart()
        val intent = Intent(this, LearningService::class.java)
        startService(intent)
        bindService(intent, connection, Context.BIND_AUTO_CREATE)
    }

    override fun onStop() {
        if (!isChangingConfigurations) service?.phone?.settle()
        disconnected()
        unbindService(connection)
        super.onStop()
    }

    override fun onResume() {
        super.onResume()
        isSeen = true
        screen?.enter()
    }

    override fun onPause() {
        isSeen = false
        screen?.leave()
        super.onPause()
    }

    // What replaces it came with Android 13.
    @Suppress("OVERRIDE_DEPRECATION", "DEPRECATION")
    override fun onBackPressed() = when (place) {
        Place.MAIN -> super.onBackPressed()
        Place.SCAN -> go(Place.SETTINGS)
        Place.CLASSES, Place.SETTINGS -> go(Place.MAIN)
    }

    override fun onRequestPermissionsResult(requestCode: Int, permissions: Array<String>, results: IntArray) {
        if (isSeen) screen?.enter()
    }

    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        val zip = data?.data
        if (requestCode == BUNDLE && resultCode == RESULT_OK && zip != null) chosen = zip
        takeChoice()
    }

    private var chosen: android.net.Uri? = null

    /** The service may be bound before or after the file was chosen. */
    private fun takeChoice() {
        val phone = service?.phone ?: return
        chosen?.let(phone::chooseBundle)
        chosen = null
    }

    private fun connected(bound: LearningService) {
        service = bound
        val phone = bound.phone
        stage = Stage(this, phone, Words(this), ::go, ::chooseBundle, CameraAccess(this, phone.preferences))
        bound.changed = ::show
        takeChoice()
        show()
    }

    private fun disconnected() {
        service?.changed = {}
        service = null
        change(null)
        stage = null
    }

    private fun go(place: Place) {
        this.place = place
        stage?.phone?.dismiss()
        shownFor = null
        show()
    }

    private fun show() {
        val stage = stage ?: return
        val isReady = stage.phone.state is PhoneState.Ready
        val wanted: Any = if (isReady) place else StartScreen::class
        if (wanted != shownFor) {
            change(if (isReady) screenAt(place, stage) else StartScreen(stage, root))
            shownFor = wanted
        }
        screen?.show()
    }

    private fun screenAt(place: Place, stage: Stage): Screen = when (place) {
        Place.MAIN -> MainScreen(stage, root)
        Place.CLASSES -> ClassesScreen(stage, root)
        Place.SETTINGS -> SettingsScreen(stage, root)
        Place.SCAN -> ScanScreen(stage, root)
    }

    private fun change(next: Screen?) {
        screen?.leave()
        root.removeAllViews()
        screen = next
        shownFor = null
        if (next == null) return
        root.addView(next.view)
        if (isSeen) next.enter()
    }

    private fun chooseBundle() {
        val choose = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("*/*")
            .putExtra(Intent.EXTRA_MIME_TYPES, arrayOf("application/zip", "application/octet-stream"))
        try {
            startActivityForResult(choose, BUNDLE)
        } catch (error: ActivityNotFoundException) {
            service?.phone?.complain(getString(R.string.start_no_picker))
        }
    }
}
