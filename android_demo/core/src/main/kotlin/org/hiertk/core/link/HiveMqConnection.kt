/** One connection of HiveMQ's client, from its beginning to its end. */
package org.hiertk.core.link

import com.hivemq.client.mqtt.MqttClientTransportConfig
import com.hivemq.client.mqtt.MqttGlobalPublishFilter
import com.hivemq.client.mqtt.datatypes.MqttQos
import com.hivemq.client.mqtt.exceptions.ConnectionClosedException
import com.hivemq.client.mqtt.exceptions.MqttClientStateException
import com.hivemq.client.mqtt.exceptions.MqttSessionExpiredException
import com.hivemq.client.mqtt.mqtt5.Mqtt5AsyncClient
import com.hivemq.client.mqtt.mqtt5.Mqtt5Client
import com.hivemq.client.mqtt.mqtt5.exceptions.Mqtt5DisconnectException
import com.hivemq.client.mqtt.mqtt5.exceptions.Mqtt5PubAckException
import com.hivemq.client.mqtt.mqtt5.message.connect.Mqtt5Connect
import com.hivemq.client.mqtt.mqtt5.message.connect.connack.Mqtt5ConnAck
import com.hivemq.client.mqtt.mqtt5.message.disconnect.Mqtt5DisconnectReasonCode
import com.hivemq.client.mqtt.mqtt5.message.publish.Mqtt5Publish
import com.hivemq.client.mqtt.mqtt5.message.subscribe.Mqtt5Subscribe
import com.hivemq.client.mqtt.mqtt5.message.subscribe.Mqtt5Subscription
import java.nio.ByteBuffer
import java.util.concurrent.Executor
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicBoolean

private const val KEEP_ALIVE_SECONDS = 20
private const val CONNECT_TIMEOUT_SECONDS = 10L
private const val UNACKNOWLEDGED_BY_US = 16 // each may be in memory, as large as the hello says

/** What there is to handle is only noted: it may be done in the client's own thread. */
private val inItsThread = Executor(Runnable::run)

/** A connection; nothing is queued in memory once it is down. Any thread may call it. */
internal class HiveMqConnection(
    private val address: BrokerAddress,
    private val credentials: Credentials,
    private val tls: TlsSettings?,
    private val hello: Hello,
    private val events: TransportEvents,
) {
    private val isOver = AtomicBoolean()

    @Volatile
    private var limits: BrokerLimits? = null // null: it is not up

    @Volatile
    private var isClosed = false

    private val client: Mqtt5AsyncClient = Mqtt5Client.builder()
        .identifier(hello.clientId)
        .transportConfig(transport())
        .executorConfig().nettyThreads(1).applyExecutorConfig()
        .addDisconnectedListener { context -> end(context.cause) }
        .buildAsync()

    /** Connect, subscribe, and say that it is up. */
    fun open() {
        client.publishes(MqttGlobalPublishFilter.ALL, ::take, inItsThread)
        client.connect(connectMessage()).whenComplete { answer, error ->
            if (error != null) end(error) else subscribe(answer)
        }
    }

    fun publish(message: Outgoing, done: (refusal: String?) -> Unit): Boolean {
        val most = limits?.packetBytes ?: return false
        if (packetBytes(message) > most) { // HiveMQ's client would carry nothing more
            done("the broker takes packets of $most bytes, this one has ${packetBytes(message)}")
            return true
        }
        client.publish(publishMessage(message)).whenComplete { result, error ->
            val found = error ?: result.error.orElse(null)
            if (!isLost(found)) done(found?.let(::refusalOf))
        }
        return true
    }

    fun close(withWill: Boolean) {
        isClosed = true
        limits = null
        val reason = if (withWill) {
            Mqtt5DisconnectReasonCode.DISCONNECT_WITH_WILL_MESSAGE
        } else {
            Mqtt5DisconnectReasonCode.NORMAL_DISCONNECTION
        }
        // Fails if there is no connection any more, or not yet: then `subscribe` ends it.
        client.disconnectWith().reasonCode(reason).send()
    }

    private fun subscribe(answer: Mqtt5ConnAck) {
        if (isClosed) return close(withWill = false)
        val told = BrokerLimits(
            packetBytes = answer.restrictions.maximumPacketSize,
            unacknowledged = answer.restrictions.receiveMaximum,
        )
        val wanted = hello.subscriptions.map {
            Mqtt5Subscription.builder().topicFilter(it).qos(MqttQos.AT_LEAST_ONCE).build()
        }
        client.subscribe(Mqtt5Subscribe.builder().addSubscriptions(wanted).build()).whenComplete { granted, error ->
            val refused = granted?.reasonCodes?.firstOrNull { it.isError }
            when {
                error != null -> endHere(whyItEnded(error, address, credentials))
                refused != null ->
                    endHere(Ending("$address refuses a subscription: ${inWords(refused)}: pair the phone again", true))
                !isClosed -> {
                    limits = told
                    events.up(told)
                }
            }
        }
    }

    private fun take(publish: Mqtt5Publish) {
        val correlation = publish.correlationData.map(::bytesOf).orElse(ByteArray(0))
        events.message(Incoming(publish.topic.toString(), publish.payloadAsBytes, correlation))
    }

    private fun end(error: Throwable) {
        limits = null
        if (isOver.compareAndSet(false, true)) events.down(whyItEnded(error, address, credentials))
    }

    private fun endHere(ending: Ending) {
        if (isOver.compareAndSet(false, true)) events.down(ending)
        close(withWill = false)
    }

    private fun transport(): MqttClientTransportConfig {
        val found = MqttClientTransportConfig.builder()
            .serverHost(address.host)
            .serverPort(address.port)
            .socketConnectTimeout(CONNECT_TIMEOUT_SECONDS, TimeUnit.SECONDS)
            .mqttConnectTimeout(CONNECT_TIMEOUT_SECONDS, TimeUnit.SECONDS)
        if (tls == null) return found.build()
        // Without a verifier of our own the engine checks the host's name, as for HTTPS.
        return found.sslConfig()
            .trustManagerFactory(tls.trust)
            .keyManagerFactory(tls.keys)
            .protocols(tls.protocols)
            .handshakeTimeout(CONNECT_TIMEOUT_SECONDS, TimeUnit.SECONDS)
            .applySslConfig()
            .build()
    }

    private fun connectMessage(): Mqtt5Connect {
        val connect = Mqtt5Connect.builder()
            .cleanStart(true)
            .keepAlive(KEEP_ALIVE_SECONDS)
            .willPublish(publishMessage(hello.will))
            .restrictions()
            .maximumPacketSize(hello.maxPacketBytes)
            .receiveMaximum(UNACKNOWLEDGED_BY_US)
            .topicAliasMaximum(0)
            .applyRestrictions()
        val name = credentials.username ?: return connect.build()
        return connect.simpleAuth()
            .username(name)
            .password(credentials.password.orEmpty().toByteArray())
            .applySimpleAuth()
            .build()
    }
}

private fun publishMessage(message: Outgoing): Mqtt5Publish {
    val publish = Mqtt5Publish.builder()
        .topic(message.topic)
        .payload(message.payload)
        .qos(MqttQos.AT_LEAST_ONCE)
        .retain(message.retain)
    val request = message.request ?: return publish.build()
    return publish
        .correlationData(request.correlation)
        .responseTopic(request.replyTo.ifEmpty { null })
        .messageExpiryInterval(request.expiresSeconds)
        .build()
}

/** Whether it failed because the connection did: then the broker has not answered. */
private fun isLost(error: Throwable?): Boolean =
    error is MqttSessionExpiredException || error is MqttClientStateException ||
        error is ConnectionClosedException || error is Mqtt5DisconnectException

private fun refusalOf(error: Throwable): String =
    if (error is Mqtt5PubAckException) inWords(error.mqttMessage.reasonCode) else error.message ?: error.toString()

private fun bytesOf(buffer: ByteBuffer): ByteArray {
    val view = buffer.duplicate()
    return ByteArray(view.remaining()).also { view.get(it) }
}
