/** Tells what the phone is connected to, as it changes. */
package org.hiertk.demo

import android.content.Context
import android.net.ConnectivityManager
import android.net.Network
import android.net.NetworkCapabilities
import org.hiertk.core.link.NetworkKind

/** changed: is called in a thread of the system. */
class NetworkWatch(context: Context, private val changed: (NetworkKind) -> Unit) {
    private val connectivity = context.getSystemService(ConnectivityManager::class.java)

    private val callback = object : ConnectivityManager.NetworkCallback() {
        override fun onCapabilitiesChanged(network: Network, capabilities: NetworkCapabilities) = tell(kindOf(capabilities))

        override fun onLost(network: Network) = tell(NetworkKind.NONE)
    }

    /** What the phone is connected to now. */
    @Volatile
    var kind: NetworkKind = connectivity.getNetworkCapabilities(connectivity.activeNetwork)?.let(::kindOf) ?: NetworkKind.NONE
        private set

    /** Begin to tell. */
    fun start() = connectivity.registerDefaultNetworkCallback(callback)

    /** Tell no more. */
    fun stop() = connectivity.unregisterNetworkCallback(callback)

    private fun tell(kind: NetworkKind) {
        this.kind = kind
        changed(kind)
    }

    private fun kindOf(capabilities: NetworkCapabilities): NetworkKind = when {
        capabilities.hasCapability(NetworkCapabilities.NET_CAPABILITY_NOT_METERED) -> NetworkKind.WIFI
        else -> NetworkKind.MOBILE
    }
}
