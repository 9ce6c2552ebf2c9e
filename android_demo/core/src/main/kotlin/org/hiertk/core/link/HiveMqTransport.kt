/** The MQTT client of the phone: HiveMQ's, one connection after the other. */
package org.hiertk.core.link

/** Connects to one broker. Throws ConfigException for credentials that cannot be used with it. */
class HiveMqTransport(
    private val address: BrokerAddress,
    private val credentials: Credentials = Credentials(),
) : MqttTransport {
    private val tls: TlsSettings?

    @Volatile
    private var connection: HiveMqConnection? = null

    init {
        credentials.check(address.tls)
        tls = if (address.tls) tlsSettings(credentials) else null
    }

    override fun connect(hello: Hello, events: TransportEvents) {
        disconnect(withWill = true)
        val begun = HiveMqConnection(address, credentials, tls, hello, events)
        connection = begun
        begun.open()
    }

    override fun publish(message: Outgoing, done: (refusal: String?) -> Unit): Boolean =
        connection?.publish(message, done) ?: false

    override fun disconnect(withWill: Boolean) {
        connection?.close(withWill)
        connection = null
    }
}
