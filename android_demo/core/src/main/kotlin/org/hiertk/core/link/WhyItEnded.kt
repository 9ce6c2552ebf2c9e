/** Why a connection ended or never came about, in words that say what to do about it. */
package org.hiertk.core.link

import com.hivemq.client.mqtt.mqtt5.exceptions.Mqtt5ConnAckException
import com.hivemq.client.mqtt.mqtt5.exceptions.Mqtt5DisconnectException
import com.hivemq.client.mqtt.mqtt5.message.connect.connack.Mqtt5ConnAckReasonCode
import com.hivemq.client.mqtt.mqtt5.message.disconnect.Mqtt5DisconnectReasonCode
import java.net.UnknownHostException
import java.nio.channels.UnresolvedAddressException
import java.security.cert.CertificateException
import java.security.cert.CertificateExpiredException
import java.security.cert.CertificateNotYetValidException
import javax.net.ssl.SSLException

private const val MOST_CAUSES = 16
private val ALERT = Regex("alert[:_ ]+([a-z_]+)", RegexOption.IGNORE_CASE)
private val PASSING_CONNACKS = setOf(
    Mqtt5ConnAckReasonCode.SERVER_UNAVAILABLE,
    Mqtt5ConnAckReasonCode.SERVER_BUSY,
    Mqtt5ConnAckReasonCode.CONNECTION_RATE_EXCEEDED,
    Mqtt5ConnAckReasonCode.QUOTA_EXCEEDED,
    Mqtt5ConnAckReasonCode.UNSPECIFIED_ERROR,
)

/** Return a reason code as people write it: "not authorized". */
internal fun inWords(code: Enum<*>): String = code.name.lowercase().replace('_', ' ')

/** Return why, for the screen. */
internal fun whyItEnded(error: Throwable, address: BrokerAddress, credentials: Credentials): Ending {
    val causes = generateSequence(error) { it.cause }.take(MOST_CAUSES).toList()
    causes.forEach { cause -> ofOne(cause, address, credentials)?.let { return it } }
    val deepest = causes.last()
    return Ending("$address cannot be reached: ${deepest.message ?: deepest.javaClass.simpleName}", isRefusal = false)
}

private fun ofOne(cause: Throwable, address: BrokerAddress, credentials: Credentials): Ending? = when (cause) {
    is Mqtt5ConnAckException -> refusedAtOnce(cause.mqttMessage.reasonCode, address, credentials)
    is Mqtt5DisconnectException -> ended(cause.mqttMessage.reasonCode, address)
    is CertificateException ->
        Ending("$address is not trusted: ${whyDistrusted(causeOf(cause), address)}", isRefusal = true)
    is SSLException -> alerted(cause, address, credentials)
    is UnknownHostException, is UnresolvedAddressException ->
        Ending("$address cannot be found: check the name and the network", isRefusal = false)
    else -> null
}

private fun refusedAtOnce(code: Mqtt5ConnAckReasonCode, address: BrokerAddress, credentials: Credentials): Ending {
    val advice =
        if (credentials.username == null) "" else ": check the user name and its password, or pair the phone again"
    return Ending("$address refuses the connection: ${inWords(code)}$advice", code !in PASSING_CONNACKS)
}

private fun ended(code: Mqtt5DisconnectReasonCode, address: BrokerAddress): Ending = when (code) {
    Mqtt5DisconnectReasonCode.SESSION_TAKEN_OVER ->
        Ending("$address: another device has this phone's name: pair one of both again", isRefusal = true)
    Mqtt5DisconnectReasonCode.NOT_AUTHORIZED, Mqtt5DisconnectReasonCode.ADMINISTRATIVE_ACTION ->
        Ending("$address ended the connection: ${inWords(code)}: pair the phone again", isRefusal = true)
    else -> Ending("$address ended the connection: ${inWords(code)}", isRefusal = false)
}

private fun causeOf(error: CertificateException): Throwable =
    generateSequence<Throwable>(error) { it.cause }.take(MOST_CAUSES)
        .firstOrNull { it is CertificateExpiredException || it is CertificateNotYetValidException } ?: error

private fun whyDistrusted(error: Throwable, address: BrokerAddress): String {
    val said = error.message.orEmpty()
    return when {
        error is CertificateExpiredException -> "its certificate has expired: renew it there, or set this phone's clock"
        error is CertificateNotYetValidException -> "its certificate is not valid yet: set this phone's clock"
        "alternative" in said || "No name matching" in said || "verified" in said ->
            "its certificate is not for ${address.host}: use a name that it was made for"
        else -> "its certificate is not of the deployment's CA: pair the phone again"
    }
}

/** What the broker says about the phone's own certificate; null: something else. */
private fun alerted(error: SSLException, address: BrokerAddress, credentials: Credentials): Ending? {
    val alert = ALERT.find(error.message.orEmpty())?.groupValues?.get(1)?.lowercase() ?: return null
    val why = when {
        credentials.certificatePem == null -> "it wants a certificate: pair the phone again"
        "revoked" in alert -> "this phone's certificate is revoked: pair it again"
        "expired" in alert -> "this phone's certificate has expired: pair it again"
        else -> "it does not trust this phone's certificate (${alert.replace('_', ' ')}): pair it again"
    }
    return Ending("$address refuses the connection: $why", isRefusal = true)
}
