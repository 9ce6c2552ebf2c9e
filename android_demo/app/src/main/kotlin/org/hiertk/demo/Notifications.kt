/** The notification that tells that the app is at work. */
package org.hiertk.demo

import android.app.Notification
import android.app.NotificationChannel
import android.app.NotificationManager
import android.app.PendingIntent
import android.content.Context
import android.content.Intent

private const val CHANNEL = "learning"

/** Quiet ones; where the user refuses them, the work goes on. */
class Notifications(private val context: Context) {
    private val manager = context.getSystemService(NotificationManager::class.java)

    init {
        val name = context.getString(R.string.channel_name)
        manager.createNotificationChannel(NotificationChannel(CHANNEL, name, NotificationManager.IMPORTANCE_LOW))
    }

    /** Make one; text: of the app's strings. */
    fun note(text: Int): Notification {
        val stop = Notification.Action.Builder(null, context.getString(R.string.notification_stop), stopping())
        return Notification.Builder(context, CHANNEL)
            .setSmallIcon(R.drawable.notification)
            .setContentTitle(context.getString(R.string.app_name))
            .setContentText(context.getString(text))
            .setContentIntent(opening())
            .setOngoing(true)
            .setOnlyAlertOnce(true)
            .addAction(stop.build())
            .build()
    }

    /** Show one in place of what was there. */
    fun show(id: Int, text: Int) = manager.notify(id, note(text))

    private fun opening() = PendingIntent.getActivity(
        context, 0, Intent(context, MainActivity::class.java), PendingIntent.FLAG_IMMUTABLE,
    )

    private fun stopping() = PendingIntent.getService(
        context, 0, Intent(context, LearningService::class.java).setAction(STOP), PendingIntent.FLAG_IMMUTABLE,
    )

    companion object {
        /** Asks the service to end. */
        const val STOP = "org.hiertk.demo.STOP"
    }
}
