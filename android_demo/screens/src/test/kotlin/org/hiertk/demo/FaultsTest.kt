package org.hiertk.demo

import android.Manifest
import android.content.pm.PackageManager
import android.graphics.SurfaceTexture
import android.provider.Settings
import org.hiertk.demo.camera.CameraView
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.Shadows.shadowOf
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertSame

/** What the phone does not give is said where it is missed, and the rest goes on. */
@RunWith(RobolectricTestRunner::class)
class FaultsTest {
    @Test
    fun `without the camera's permission it says what for, asks, and then shows the way to the settings`() =
        TestApp(camera = false).begin().use { app ->
            val activity = app.activity
            assertEquals(activity.getString(R.string.camera_needed), app.text(R.id.camera_words))
            app.click(R.id.camera_button)
            assertEquals(listOf(Manifest.permission.CAMERA), shadowOf(activity).lastRequestedPermission.requestedPermissions.toList())

            activity.onRequestPermissionsResult(1, arrayOf(Manifest.permission.CAMERA), intArrayOf(PackageManager.PERMISSION_DENIED))
            assertEquals(activity.getString(R.string.camera_refused), app.text(R.id.camera_words))
            app.click(R.id.camera_button)
            assertEquals(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, shadowOf(activity).nextStartedActivity.action)
            app.click(R.id.to_classes)
        }

    @Test
    fun `a phone whose camera cannot be opened says so, and tries again when asked`() = TestApp().begin().use { app ->
        val camera = app.view<CameraView>(R.id.camera)
        camera.setSurfaceTexture(SurfaceTexture(1))
        camera.onSurfaceTextureAvailable(checkNotNull(camera.surfaceTexture), 100, 100)
        app.await("the failure is told") { app.isSeen(R.id.camera_words) }
        assertEquals(app.activity.getString(R.string.camera_failed), app.text(R.id.camera_words))
        app.click(R.id.camera_button)
        app.await("it is told again") { app.isSeen(R.id.camera_words) }
    }

    @Test
    fun `what is no pairing code is told, and the phone goes on alone`() = TestApp().begin().use { app ->
        val device = app.phone.device
        app.click(R.id.to_settings)
        app.type(R.id.code, "hiertk:1:{}")
        app.click(R.id.pair)
        assertContains(app.text(R.id.complaint), "hiertk-cloud pair")
        assertEquals(app.activity.getString(R.string.pairing_none), app.text(R.id.pairing))
        assertSame(device, app.phone.device)
        app.click(R.id.back)
        assertFalse(app.isSeen(R.id.problems), "it was read, and stays")
    }

    @Test
    fun `what is no bundle is refused, and the one before stays`() = TestApp().begin().use { app ->
        val before = app.phone.device?.bundle?.manifest?.bundleName
        app.click(R.id.to_settings)
        app.choose("no zip".toByteArray())
        assertContains(app.text(R.id.complaint), "zip")
        assertEquals(before, app.phone.device?.bundle?.manifest?.bundleName)
    }

    @Test
    fun `turning the phone keeps the place, what was typed, and the device`() = TestApp().begin().use { app ->
        val device = app.phone.device
        app.type(R.id.name, "my cup")
        app.click(R.id.to_settings)
        app.turn("+land")
        assertEquals(app.activity.getString(R.string.pairing_none), app.text(R.id.pairing))
        app.click(R.id.back)
        assertEquals("my cup", app.text(R.id.name))
        assertEquals(app.activity.getString(R.string.name_new, "my cup"), app.text(R.id.name_words))
        assertSame(device, app.phone.device)
    }
}
