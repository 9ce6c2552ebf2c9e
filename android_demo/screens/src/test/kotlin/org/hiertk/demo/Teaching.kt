/** A user who points the phone at things, and teaches it what they are. */
package org.hiertk.demo

import android.os.SystemClock
import android.view.MotionEvent
import android.view.View
import org.hiertk.core.view.CaptureState
import org.hiertk.core.view.PreviewState

// A little longer than the app lets pass between two frames.
private const val FRAME_MILLIS = 95L

// The others are held out, to measure on.
private const val MOST_TRAINED = 0.8

/** Install the bundle, and wait until the engine answers. */
fun TestApp.begin() = apply {
    choose(Deployment.bundle)
    await("the engine is open") { phone.device?.screen?.preview !is PreviewState.Starting }
}

/** Pair with the deployment's cloud, as the settings have it. */
fun TestApp.pair() {
    click(R.id.to_settings)
    type(R.id.code, Deployment.pairing)
    click(R.id.pair)
    await("the link is up") { phone.device?.screen?.link?.isOffline == false }
    click(R.id.back)
}

/** Hold the button while the camera sees these. Ends when a capture is full. */
fun TestApp.teach(name: String, scenes: List<Scene>) {
    type(R.id.name, name)
    val button = view<View>(R.id.teach)
    touch(button, MotionEvent.ACTION_DOWN)
    for (scene in scenes) see(scene)
    check(phone.device?.capture?.state !is CaptureState.Capturing) { "the capture is not full" }
    touch(button, MotionEvent.ACTION_UP)
}

/** Let the camera see something for one frame. */
fun TestApp.see(scene: Scene) {
    phone.device?.frame(scene.frame(), 0)
    Thread.sleep(FRAME_MILLIS)
    idle()
}

/** Wait until a class has so many images, held out ones aside, and all is learned. */
fun TestApp.awaitLearned(captured: Int, name: String) = await("all is learned") {
    val device = checkNotNull(phone.device)
    val taught = device.screen.classes.firstOrNull { it.name == name }?.examples ?: 0
    taught >= MOST_TRAINED * captured && !device.isLearning
}

private fun touch(view: View, action: Int) {
    val now = SystemClock.uptimeMillis()
    val event = MotionEvent.obtain(now, now, action, view.width / 2f, view.height / 2f, 0)
    view.dispatchTouchEvent(event)
    event.recycle()
}
