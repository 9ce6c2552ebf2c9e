/** Sessions with a real broker, which the tests of a class share. */
package org.hiertk.core.link

import java.nio.file.Path
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import kotlin.test.assertNotNull
import org.hiertk.core.spool.Spool
import org.hiertk.protocol.DeviceStatus
import org.hiertk.protocol.FeatureBatch
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.BeforeAll
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.io.TempDir

private const val DEVICE = "phone-1"
const val MESSAGE_BYTES = 3000
private val deployments = AtomicInteger()

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
abstract class WithBroker {
    protected lateinit var broker: Mosquitto
    protected val running = mutableListOf<AutoCloseable>()

    @BeforeAll
    fun start(@TempDir folder: Path) {
        broker = Mosquitto.start(folder, "max_inflight_messages 100") // a window of ours has 32
    }

    @AfterAll
    fun end() = broker.close()

    @AfterEach
    fun stop() {
        running.asReversed().forEach(AutoCloseable::close)
        running.clear()
    }

    /** A phone's session with its spool, of a deployment of its own. */
    protected inner class Phone(
        private val folder: Path,
        classes: ClassLink? = null,
        limits: LinkLimits = LinkLimits(),
        network: NetworkKind = NetworkKind.WIFI,
        at: BrokerAddress = broker.address,
        val deployment: String = "%016x".format(deployments.incrementAndGet()),
    ) {
        val topics = Topics(deployment, DEVICE)
        val spool: Spool = Spool.open(folder.resolve("spool")).also { running.add(it) }
        val session = Session(
            SessionSettings(deployment, DEVICE, folder.resolve("wire-hours.txt")),
            HiveMqTransport(at), spool, classes, limits, network,
        ).also { running.add(it) }

        val snapshot: LinkSnapshot get() = session.snapshot

        fun cloud(acknowledges: Boolean = true, refused: Map<Long, String> = emptyMap(), maxMessageBytes: Int = 0) =
            TinyCloud(broker.address, topics, acknowledges, refused, maxMessageBytes).also { running.add(it) }

        fun put(count: Int, bytes: Int = MESSAGE_BYTES) {
            repeat(count) { spool.put(message(bytes)) }
            session.wake()
        }

        fun started(): Phone {
            session.report(DeviceStatus.newBuilder().setState(DeviceStatus.State.TRAINING).setEdgeStep(7).build())
            session.start()
            return this
        }

        fun ask(deadlineMillis: Long): Reply {
            val replies = LinkedBlockingQueue<Reply>()
            session.ask(byteArrayOf(1), deadlineMillis) { replies.add(it) }
            return assertNotNull(replies.poll(deadlineMillis + 20_000, TimeUnit.MILLISECONDS), "no answer at all")
        }
    }

    private fun message(bytes: Int): FeatureBatch =
        FeatureBatch.newBuilder().setDevice(DEVICE).addLabels(0).addNewClasses("x".repeat(bytes)).build()
}
