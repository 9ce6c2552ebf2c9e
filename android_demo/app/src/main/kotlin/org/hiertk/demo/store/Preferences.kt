/** What the user chose and is no secret. */
package org.hiertk.demo.store

import android.content.Context
import android.content.SharedPreferences
import org.hiertk.core.link.LinkLimits

private const val BUNDLE = "bundle"
private const val BYTES_PER_DAY = "bytes-per-day"
private const val WIFI_ONLY = "wifi-only"
private const val ASKED_FOR_CAMERA = "asked-for-camera"
private const val ASKED_FOR_NOTES = "asked-for-notifications"

/** Kept over restarts; any thread. */
class Preferences(context: Context) {
    private val kept: SharedPreferences = context.getSharedPreferences("choices", Context.MODE_PRIVATE)

    /** The folder name of the bundle in use; null: none was chosen yet. */
    var bundleName: String?
        get() = kept.getString(BUNDLE, null)
        set(name) = kept.edit().putString(BUNDLE, name).apply()

    /** What the link may take. */
    var limits: LinkLimits
        get() = LinkLimits(kept.getLong(BYTES_PER_DAY, 0), kept.getBoolean(WIFI_ONLY, true))
        set(limits) = kept.edit()
            .putLong(BYTES_PER_DAY, limits.bytesPerDay)
            .putBoolean(WIFI_ONLY, limits.wifiOnly)
            .apply()

    /** Whether the user was asked for the camera: only then a refusal is one. */
    var askedForCamera: Boolean
        get() = kept.getBoolean(ASKED_FOR_CAMERA, false)
        set(asked) = kept.edit().putBoolean(ASKED_FOR_CAMERA, asked).apply()

    /** Whether the user was asked for notifications; once is enough. */
    var askedForNotifications: Boolean
        get() = kept.getBoolean(ASKED_FOR_NOTES, false)
        set(asked) = kept.edit().putBoolean(ASKED_FOR_NOTES, asked).apply()

    /** Forget all of it. */
    fun clear() = kept.edit().clear().apply()
}
