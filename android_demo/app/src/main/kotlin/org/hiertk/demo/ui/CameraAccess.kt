/** The permission to use the camera: asked for where it is needed, and a refusal is a state of its own. */
package org.hiertk.demo.ui

import android.Manifest
import android.app.Activity
import android.content.Intent
import android.content.pm.PackageManager
import android.net.Uri
import android.provider.Settings
import org.hiertk.demo.store.Preferences

/** GRANTED, to be ASKED for, or REFUSED: then only the system's settings help. */
enum class Access { GRANTED, ASK, REFUSED }

/** Of one activity. */
class CameraAccess(private val activity: Activity, private val preferences: Preferences) {
    /** What it is now. */
    val now: Access
        get() = when {
            activity.checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED -> Access.GRANTED
            !preferences.askedForCamera -> Access.ASK
            activity.shouldShowRequestPermissionRationale(Manifest.permission.CAMERA) -> Access.ASK
            else -> Access.REFUSED
        }

    /** Ask the user, or where that is of no use any more, open the system's settings of this app. */
    fun ask() {
        if (now == Access.REFUSED) {
            val settings = Uri.fromParts("package", activity.packageName, null)
            activity.startActivity(Intent(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, settings))
        } else {
            preferences.askedForCamera = true
            activity.requestPermissions(arrayOf(Manifest.permission.CAMERA), REQUEST)
        }
    }

    private companion object {
        const val REQUEST = 1
    }
}
