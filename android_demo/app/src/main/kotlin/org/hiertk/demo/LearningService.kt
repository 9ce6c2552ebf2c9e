/** Keeps the phone's state while the app is used, and goes on learning and sending for a while after it is left. */
package org.hiertk.demo

import android.app.Notification
import android.app.Service
import android.content.Intent
import android.content.pm.ServiceInfo
import android.os.Binder
import android.os.Build
import android.os.Handler
import android.os.IBinder
import android.os.Looper
import android.util.Log

// Longer than a rotation takes.
private const val LOOK_MILLIS = 5_000L
private const val NOTE = 1
private const val TAG = "hiertk"

/**
 * Started by the activity that is about to bind it, so a rotation does not end it.
 *
 * It is in the foreground from the start: from the background it could not get there any more. When nobody looks
 * and nothing waits it ends itself. If the system ends it before, all is on disk: it is not started again, since
 * Android would not let it into the foreground then.
 */
class LearningService : Service() {
    private val main = Handler(Looper.getMainLooper())
    private val notes by lazy { Notifications(this) }
    private val watch = Runnable(::endIfIdle)
    private var note = -1
    private var isBound = false

    /** The app's state. */
    lateinit var phone: Phone
        private set

    /** Is told in the main thread that there is something new to show. */
    var changed: () -> Unit = {}

    /** What a bound activity gets. */
    inner class Here : Binder() {
        val service: LearningService get() = this@LearningService
    }

    override fun onCreate() {
        super.onCreate()
        phone = Phone(this) {
            changed()
            showNote()
        }
    }

    override fun onStartCommand(intent: Intent?, flags: Int, startId: Int): Int {
        if (intent?.action == Notifications.STOP) {
            end()
        } else {
            goToForeground()
            watchIfUnbound()
        }
        return START_NOT_STICKY
    }

    override fun onBind(intent: Intent?): IBinder {
        isBound = true
        return Here()
    }

    override fun onRebind(intent: Intent?) {
        isBound = true
    }

    override fun onUnbind(intent: Intent?): Boolean {
        isBound = false
        watchIfUnbound()
        return true
    }

    /** The hours of a day that Android gives are used up. What waits is on disk, and goes on with the next use. */
    override fun onTimeout(startId: Int, fgsType: Int) = end()

    override fun onDestroy() {
        main.removeCallbacks(watch)
        phone.close()
        super.onDestroy()
    }

    private fun watchIfUnbound() {
        main.removeCallbacks(watch)
        if (!isBound) main.postDelayed(watch, LOOK_MILLIS)
    }

    private fun endIfIdle() {
        if (isBound) return
        val device = phone.device
        val isBusy = phone.state is PhoneState.Opening || (device != null && (device.isLearning || device.isSending))
        if (isBusy) watchIfUnbound() else end()
    }

    private fun end() {
        stopForeground(STOP_FOREGROUND_REMOVE)
        stopSelf()
    }

    private fun goToForeground() {
        note = textOfNote()
        val notification = notes.note(note)
        try {
            goToForeground(notification)
        } catch (error: IllegalStateException) {
            // Android 12 and newer, if the app was left meanwhile, or the hours of a day are used up:
            // it works as long as somebody looks.
            Log.w(TAG, "no foreground service: ${error.message}")
        }
    }

    private fun goToForeground(notification: Notification) {
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) {
            startForeground(NOTE, notification, ServiceInfo.FOREGROUND_SERVICE_TYPE_DATA_SYNC)
        } else {
            startForeground(NOTE, notification)
        }
    }

    private fun showNote() {
        val text = textOfNote()
        if (text == note || note == -1) return
        note = text
        notes.show(NOTE, text)
    }

    private fun textOfNote(): Int {
        val device = phone.device
        return when {
            device == null -> R.string.notification_idle
            device.isLearning -> R.string.notification_learning
            device.isSending -> R.string.notification_sending
            else -> R.string.notification_idle
        }
    }
}
