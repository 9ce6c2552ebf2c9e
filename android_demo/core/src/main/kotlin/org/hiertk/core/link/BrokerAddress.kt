/** Where a broker listens, as the user writes it. */
package org.hiertk.core.link

import java.net.URI
import java.net.URISyntaxException
import org.hiertk.core.ConfigException

private const val PLAIN_PORT = 1883
private const val TLS_PORT = 8883
private const val LAST_PORT = 65_535
private const val WANTED = "write mqtt://HOST[:PORT], or mqtts://HOST[:PORT] for TLS"

/** Where the broker listens. host: a name or an address, without brackets. */
data class BrokerAddress(val host: String, val port: Int, val tls: Boolean) {
    override fun toString(): String {
        val shown = if (':' in host) "[$host]" else host
        return "${if (tls) "mqtts" else "mqtt"}://$shown:$port"
    }
}

/** Parse `mqtt://HOST[:PORT]` or `mqtts://HOST[:PORT]` (TLS). Throws ConfigException. */
fun parseBroker(url: String): BrokerAddress {
    val shown = url.take(200)
    val parts = try {
        URI(url)
    } catch (error: URISyntaxException) {
        throw ConfigException("broker '$shown': ${error.reason}: $WANTED", error)
    }
    if (parts.rawUserInfo != null) {
        throw ConfigException("broker: a password in the address would be seen by everybody: leave it out")
    }
    val tls = when (parts.scheme) {
        "mqtt" -> false
        "mqtts" -> true
        else -> throw ConfigException("broker '$shown' is not an MQTT address: $WANTED")
    }
    val beyond = parts.rawPath.orEmpty().trim('/') + parts.rawQuery.orEmpty() + parts.rawFragment.orEmpty()
    val host = parts.host.orEmpty().removeSurrounding("[", "]")
    val port = if (parts.port == -1) (if (tls) TLS_PORT else PLAIN_PORT) else parts.port
    if (host.isEmpty() || beyond.isNotEmpty() || port !in 1..LAST_PORT) {
        throw ConfigException("broker '$shown' is not an MQTT address: $WANTED")
    }
    return BrokerAddress(host, port, tls)
}
