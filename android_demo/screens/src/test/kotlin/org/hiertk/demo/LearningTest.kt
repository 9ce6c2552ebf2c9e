package org.hiertk.demo

import android.view.View
import android.widget.ScrollView
import org.hiertk.core.learning.Why
import org.hiertk.core.view.PreviewState
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertNotNull
import kotlin.test.assertTrue

private const val CAPTURE = 20
private const val ROUNDS = 3
private const val BARS_DP = 72
private const val UNSEEN = 10
private const val NEW = "Ankle boot"
private val MODES = mapOf("light" to "+notnight", "dark" to "+night")
private val BUNDLES_OWN = listOf("Pullover", "Coat", "Sneaker", "Bag")

/** The app with the real engine, broker and cloud service, on real images; and its pictures for the documentation. */
@RunWith(RobolectricTestRunner::class)
class LearningTest {
    private val scenes = (BUNDLES_OWN + NEW).associateWith { name ->
        Deployment.images(name).take(2 * ROUNDS * CAPTURE).map(::Scene)
    }

    @Test
    fun `a phone learns its classes and a new one, the cloud helps, and offline it goes on`() {
        installKeyStore()
        TestApp().use { app ->
            app.begin().pair()
            for (round in 0 until ROUNDS) for (name in BUNDLES_OWN) app.teach(name, shown(name, round))
            app.teach(NEW, shown(NEW, 0))
            assertContains(app.text(R.id.teach_status), NEW)
            checkUndoIsSeen(app)
            app.see(shown(NEW, 0).last())
            app.picture("light-teach", shown(NEW, 0).last())
            app.teach(NEW, shown(NEW, 1))
            app.awaitLearned(2 * CAPTURE, NEW)

            checkLearned(app)
            val unsure = helpedByCloud(app)
            drawLearned(app, unsure)
            checkOffline(app, unsure)
            combine("light", listOf("teach", "learned", "helped", "charts", "classes", "settings"))
            combine("dark", listOf("offline", "charts", "classes", "settings", "large", "german"))
        }
    }

    private fun shown(name: String, round: Int) = scenes.getValue(name).subList(round * CAPTURE, (round + 1) * CAPTURE)

    /** It is there for seconds alone: it must be seen without scrolling, above the phone's own bars. */
    private fun checkUndoIsSeen(app: TestApp) {
        val undo = app.view<View>(R.id.undo)
        val place = IntArray(2).also(undo::getLocationInWindow)
        val room = app.root.height - BARS_DP * app.root.resources.displayMetrics.density
        assertTrue(place[1] + undo.height <= room, "undo ends at ${place[1] + undo.height} of $room")
    }

    private fun checkLearned(app: TestApp) {
        app.await("the cloud has a slot for the new class, and all features") {
            val screen = app.phone.device?.screen
            screen?.classes?.none { it.isProvisional } == true && screen.counters.spooledMessages == 0
        }
        val screen = assertNotNull(app.phone.device).screen
        assertEquals(BUNDLES_OWN.toSet() + NEW, screen.classes.map { it.name }.toSet())
        assertTrue(screen.classes.all { it.isKnown && it.kept > 0 }, "${screen.classes}")
        assertEquals(emptyList(), screen.problems)
        assertTrue(screen.counters.sentBytes > 0)
        val right = scenes.map { (name, of) -> of.takeLast(UNSEEN).count { seen(app, it) == name } }
        assertTrue(right.sum() >= 0.7 * UNSEEN * scenes.size, "right of $UNSEEN images that it never saw: ${scenes.keys} $right")
    }

    private fun seen(app: TestApp, scene: Scene): String {
        app.see(scene)
        app.see(scene)
        return (app.phone.device?.screen?.preview as PreviewState.Answered).early.name
    }

    /** Look for something that the early exit is not sure of, until the cloud has answered. */
    private fun helpedByCloud(app: TestApp): Scene = scenes.values.flatMap { it.takeLast(CAPTURE * ROUNDS / 2) }.first { scene ->
        seen(app, scene)
        var looks = 0
        while (answered(app).why in setOf(Why.ASKING, Why.NO_ANSWER) && looks++ < 30) app.see(scene)
        answered(app).why == Why.CLOUD_ANSWERED
    }

    private fun answered(app: TestApp) = app.phone.device?.screen?.preview as PreviewState.Answered

    private fun checkOffline(app: TestApp, scene: Scene) {
        app.connect(hasWifi = false)
        app.await("it is noticed") { app.phone.device?.screen?.link?.isOffline == true }
        app.await("the cloud's last answer no longer stands") {
            app.see(scene)
            answered(app).why == Why.NO_LINK
        }
        assertContains(app.text(R.id.link), "No network since")
        drawIn(app, "+night", "dark-offline", scene)
        val before = assertNotNull(app.phone.device).screen.counters
        app.teach("Bag", shown("Bag", ROUNDS))
        app.await("it learns, and keeps what is to be sent") {
            val now = assertNotNull(app.phone.device).screen.counters
            now.steps > before.steps && now.spooledMessages > 0
        }
        app.connect(hasWifi = true)
        app.await("what waited is sent") { app.phone.device?.screen?.counters?.spooledMessages == 0 }
    }

    private fun drawLearned(app: TestApp, scene: Scene) {
        val boot = scenes.getValue(NEW).takeLast(UNSEEN).first { seen(app, it) == NEW }
        drawIn(app, "+notnight", "light-learned", boot)
        drawIn(app, "+notnight", "light-helped", scene)
        for ((mode, night) in MODES) {
            app.turn(night)
            scrollDown(app)
            app.picture("$mode-charts")
            app.click(R.id.to_classes)
            app.picture("$mode-classes")
            app.click(R.id.back)
            app.click(R.id.to_settings)
            app.picture("$mode-settings")
            app.click(R.id.back)
        }
        RuntimeEnvironment.setFontScale(1.5f)
        drawIn(app, "+en", "dark-large", scene)
        RuntimeEnvironment.setFontScale(1f)
        drawIn(app, "+de", "dark-german", scene)
        app.turn("+en-notnight")
    }

    private fun drawIn(app: TestApp, qualifiers: String, name: String, scene: Scene) {
        app.turn(qualifiers)
        app.see(scene)
        app.picture(name, scene)
    }

    private fun scrollDown(app: TestApp) {
        var parent = app.view<View>(R.id.to_settings).parent
        while (parent !is ScrollView) parent = parent.parent
        parent.scrollTo(0, parent.getChildAt(0).height)
        app.idle()
    }
}
