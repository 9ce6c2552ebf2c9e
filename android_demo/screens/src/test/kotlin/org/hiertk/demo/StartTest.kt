package org.hiertk.demo

import android.app.Activity
import android.content.Intent
import android.net.Uri
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import java.io.ByteArrayInputStream
import kotlin.test.assertContains
import kotlin.test.assertEquals

/** The app as it was installed: there is no bundle in it. */
@RunWith(RobolectricTestRunner::class)
class StartTest {
    @Test
    fun `without a bundle it says what one is, and offers to choose one`() = TestApp().use { app ->
        assertEquals(app.activity.getString(R.string.start_title), app.text(R.id.start_title))
        assertContains(app.text(R.id.start_text), "hiertk export --target android")
        app.click(R.id.start_choose)
        val asked = shadowOf(app.activity).nextStartedActivityForResult.intent
        assertEquals(Intent.ACTION_OPEN_DOCUMENT, asked.action)
    }

    @Test
    fun `a file that is no bundle is told in a line, and another can be chosen`() = TestApp().use { app ->
        app.choose("no zip".toByteArray())
        assertContains(app.text(R.id.complaint), "zip")
        assertEquals(app.activity.getString(R.string.start_choose), app.text(R.id.start_choose))
    }

    @Test
    fun `a phone without an app to choose files with is told so`() = TestApp().use { app ->
        shadowOf(RuntimeEnvironment.getApplication()).checkActivities(true)
        app.click(R.id.start_choose)
        assertEquals(app.activity.getString(R.string.start_no_picker), app.text(R.id.complaint))
    }
}

/** Do as if the user chose a file with these bytes. */
fun TestApp.choose(zip: ByteArray) {
    val file = Uri.parse("content://files/bundle.zip")
    shadowOf(RuntimeEnvironment.getApplication().contentResolver).registerInputStream(file, ByteArrayInputStream(zip))
    click(if (phone.device == null) R.id.start_choose else R.id.change_bundle)
    val asked = shadowOf(activity).nextStartedActivityForResult.intent
    shadowOf(activity).receiveResult(asked, Activity.RESULT_OK, Intent().setData(file))
    await("the bundle was tried") { phone.state !is PhoneState.Opening }
}
