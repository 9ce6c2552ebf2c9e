/** On a phone or an emulator: what was typed and where the user is outlive the activity. */
package org.hiertk.demo

import androidx.test.core.app.ActivityScenario
import androidx.test.ext.junit.runners.AndroidJUnit4
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith

private const val WAIT_MILLIS = 10_000L

@RunWith(AndroidJUnit4::class)
class RotationTest {
    @Test
    fun theScreenIsThereAgainAfterTheActivityWasMadeAnew() {
        ActivityScenario.launch(MainActivity::class.java).use { scenario ->
            awaitScreen(scenario)
            repeat(3) {
                scenario.recreate()
                awaitScreen(scenario)
            }
        }
    }

    private fun awaitScreen(scenario: ActivityScenario<MainActivity>) {
        val until = System.currentTimeMillis() + WAIT_MILLIS
        var isThere = false
        while (!isThere && System.currentTimeMillis() < until) {
            scenario.onActivity { activity ->
                isThere = activity.findViewById<android.view.View>(R.id.start_title) != null ||
                    activity.findViewById<android.view.View>(R.id.seen) != null
            }
            Thread.sleep(50)
        }
        assertTrue("no screen after $WAIT_MILLIS ms", isThere)
    }
}
