package org.hiertk.core.link

import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.hiertk.core.bundle.sampleManifest
import org.hiertk.core.classes.ClassMap
import org.hiertk.core.classes.ClassSlot
import org.hiertk.core.messages.ClassContract
import org.hiertk.core.spool.Spool
import org.hiertk.protocol.DeviceStatus
import org.hiertk.protocol.FeatureBatch
import org.hiertk.protocol.PredictReply
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.BeforeAll
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.io.TempDir

private const val DEVICE = "phone-1"
private const val MESSAGE_BYTES = 3000
private val deployments = AtomicInteger()

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class SessionTest {
    private lateinit var broker: Mosquitto
    private val running = mutableListOf<AutoCloseable>()

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

    private inner class Phone(
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

    @Test
    fun `a message leaves the spool on the cloud's ack alone, and a new cloud gets all of them again`(@TempDir folder: Path) {
        val phone = Phone(folder)
        val cloud = phone.cloud(acknowledges = false)
        phone.put(40)
        phone.started()
        eventually("a window was sent") { cloud.received.size == 32 }
        Thread.sleep(300) // the broker has sent its PUBACKs long since
        assertEquals(40, phone.spool.totals.held, "PUBACK proves nothing")
        assertEquals((1L..32L).toList(), cloud.received)
        assertEquals(32, phone.snapshot.inFlight)
        cloud.restart(acknowledges = true)
        eventually("all is settled") { phone.spool.totals.held == 0 }
        assertEquals(40, phone.spool.totals.settled)
        assertEquals((1L..40L).toSet(), cloud.received.toSet())
    }

    @Test
    fun `what the cloud keeps silent about is sent again, and told meanwhile`(@TempDir folder: Path) {
        val phone = Phone(folder)
        val cloud = phone.cloud(acknowledges = false)
        phone.put(2)
        phone.started()
        eventually("it is sent") { cloud.received.size == 2 }
        cloud.acknowledges = true
        eventually("it is told") { phone.snapshot.problems.any { "acknowledges nothing" in it } }
        eventually("all is settled") { phone.spool.totals.held == 0 }
        assertEquals(listOf(1L, 2L, 1L, 2L), cloud.received)
        eventually("it is over") { phone.snapshot.problems.isEmpty() }
        assertEquals(4, phone.snapshot.sentTotal)
        assertEquals(2, phone.spool.totals.settled)
    }

    @Test
    fun `a broker that takes fewer unacknowledged messages gets fewer`(@TempDir folder: Path) {
        val strict = Mosquitto.start(Files.createDirectory(folder.resolve("broker")), "max_inflight_messages 5")
        running.add(strict)
        val phone = Phone(folder, at = strict.address)
        val cloud = TinyCloud(strict.address, phone.topics, acknowledges = false).also { running.add(it) }
        phone.put(20)
        phone.started()
        eventually("a window was sent") { phone.snapshot.inFlight == 5 && cloud.received.size == 5 }
        Thread.sleep(200)
        assertEquals((1L..5L).toList(), cloud.received)
        cloud.restart(acknowledges = true)
        eventually("all is settled") { phone.spool.totals.held == 0 }
    }

    @Test
    fun `what was put while there was no broker arrives once there is one`(@TempDir folder: Path) {
        val other = Mosquitto.start(Files.createDirectory(folder.resolve("broker"))).also { running.add(it) }
        other.kill()
        val phone = Phone(folder, at = other.address).started()
        phone.put(3)
        eventually("it is told that there is none") {
            phone.snapshot.state == LinkState.DISCONNECTED && "cannot be reached" in phone.snapshot.reason
        }
        assertTrue(phone.snapshot.problems.any { "cannot be reached" in it })
        other.start()
        val cloud = TinyCloud(other.address, phone.topics).also { running.add(it) }
        phone.session.retryNow()
        eventually("all is settled") { phone.spool.totals.held == 0 }
        assertEquals(listOf(1L, 2L, 3L), cloud.received.distinct())
        assertTrue(phone.snapshot.problems.isEmpty(), "${phone.snapshot.problems}")
    }

    @Test
    fun `refused messages are gone, counted, and their reason is told`(@TempDir folder: Path) {
        val phone = Phone(folder)
        phone.cloud(refused = mapOf(2L to "of another\nbundle"))
        phone.put(3)
        phone.started()
        eventually("nothing is held") { phone.spool.totals.held == 0 && phone.snapshot.refusedTotal == 1L }
        assertEquals("the cloud refused a message: of another bundle", phone.snapshot.lastError)
    }

    @Test
    fun `a message that nobody takes is dropped and told, and the ones behind it arrive`(@TempDir folder: Path) {
        val phone = Phone(folder)
        val cloud = phone.cloud(maxMessageBytes = 5000)
        phone.put(1, bytes = 6000)
        phone.put(1)
        phone.started()
        eventually("the second arrives") { cloud.received.toList() == listOf(2L) && phone.spool.totals.held == 0 }
        assertEquals(1, phone.spool.totals.tooLarge)
        assertTrue(phone.snapshot.problems.single().startsWith("dropped a message of "), "${phone.snapshot.problems}")
        assertEquals(5000, phone.session.maxMessageBytes)
    }

    @Test
    fun `others read the status, and that the phone is offline when it goes`(@TempDir folder: Path) {
        val phone = Phone(folder)
        val cloud = phone.cloud()
        phone.put(2)
        phone.started()
        eventually("a status came") {
            cloud.statuses.any { it.state == DeviceStatus.State.TRAINING && it.spooledTotal == 2L }
        }
        assertEquals(7, cloud.statuses.last().edgeStep)
        phone.session.stop(DeviceStatus.State.FINISHED)
        eventually("the last words came") { cloud.statuses.last().state == DeviceStatus.State.FINISHED }
        assertEquals(2, cloud.statuses.last().sentTotal)
        assertEquals(LinkState.DISCONNECTED, phone.snapshot.state)
        assertIs<Reply.None>(phone.ask(100))
    }

    @Test
    fun `without a network it waits, and without Wi-Fi where only that is allowed`(@TempDir folder: Path) {
        val phone = Phone(folder, limits = LinkLimits(wifiOnly = true), network = NetworkKind.NONE)
        val cloud = phone.cloud()
        phone.put(1)
        phone.started()
        eventually("it waits") { phone.snapshot.waitsFor == Obstacle.NO_NETWORK }
        phone.session.network(NetworkKind.MOBILE)
        eventually("it waits for Wi-Fi") { phone.snapshot.waitsFor == Obstacle.NOT_WIFI }
        assertEquals(LinkState.WAITING, phone.snapshot.state)
        assertEquals("waits for Wi-Fi: connect to one, or allow mobile data", phone.snapshot.reason)
        assertTrue(cloud.received.isEmpty())
        phone.session.network(NetworkKind.WIFI)
        eventually("it is sent") { phone.spool.totals.held == 0 }
        eventually("a status came") { cloud.statuses.isNotEmpty() }
        phone.session.network(NetworkKind.MOBILE)
        eventually("it waits again, and others see it offline") {
            phone.snapshot.waitsFor == Obstacle.NOT_WIFI && cloud.statuses.last().state == DeviceStatus.State.OFFLINE
        }
        phone.session.limit(LinkLimits(wifiOnly = false))
        eventually("mobile data is allowed") { phone.snapshot.state == LinkState.CONNECTED }
    }

    @Test
    fun `the daily budget holds, over a restart too, and what is left goes when there is more`(@TempDir folder: Path) {
        val budget = 40_000L
        val first = Phone(folder, limits = LinkLimits(bytesPerDay = budget))
        val cloud = first.cloud()
        first.put(20)
        first.started()
        eventually("it is used up") { first.snapshot.waitsFor == Obstacle.BUDGET_USED_UP }
        val sent = cloud.received.distinct().size
        assertTrue(sent in 8..13, "$sent messages of $MESSAGE_BYTES bytes")
        assertTrue(first.snapshot.dayBytes <= budget + 1000, "${first.snapshot.dayBytes}")
        assertEquals(20 - sent, first.spool.totals.held, "what was sent was waited for")
        first.session.stop()
        first.spool.close()

        val second = Phone(folder, limits = LinkLimits(bytesPerDay = budget), deployment = first.deployment).started()
        eventually("it is still used up") { second.snapshot.waitsFor == Obstacle.BUDGET_USED_UP }
        Thread.sleep(200)
        assertEquals(sent, cloud.received.distinct().size)
        second.session.limit(LinkLimits(bytesPerDay = 10 * budget))
        eventually("the rest arrives") { second.spool.totals.held == 0 }
        assertEquals(20, cloud.received.distinct().size)
    }

    @Test
    fun `a question is answered, or told why not within its deadline`(@TempDir folder: Path) {
        val phone = Phone(folder).started()
        assertEquals("the cloud is offline", assertIs<Reply.None>(phone.ask(1000)).why)
        val cloud = phone.cloud()
        eventually("the cloud is online") { phone.snapshot.cloudIsOnline }
        assertEquals("no answer within 300 ms", assertIs<Reply.None>(phone.ask(300)).why)
        cloud.answers = PredictReply.newBuilder().setCloudStep(3).addProbabilities(1f).build()
        val reply = assertIs<Reply.Came>(phone.ask(20_000))
        assertContentEquals(cloud.answers?.toByteArray(), reply.payload)
    }

    @Test
    fun `a class is asked for until the map has it, and a refusal is told`(@TempDir folder: Path) {
        val wanted = CopyOnWriteArrayList(listOf("kettle"))
        val maps = CopyOnWriteArrayList<ClassMap>()
        val ignored = CopyOnWriteArrayList<String>()
        val link = ClassLink(
            ClassContract(sampleManifest()),
            provisional = { wanted.toList() },
            hand = { map -> maps.add(map); wanted.removeAll { map.find(it) != null } },
            ignore = { ignored.add(it) },
        )
        val phone = Phone(folder, link)
        val cloud = phone.cloud()
        cloud.slotError = "there is no free slot"
        phone.started()
        eventually("the refusal is told") { phone.snapshot.problems.any { "'kettle' no slot: there is no free slot" in it } }
        cloud.map = ClassMap(2, listOf(ClassSlot(0, "shirt", 1, emptyList()), ClassSlot(4, "kettle", 2, emptyList())))
        cloud.publish(phone.topics.classMap, byteArrayOf(-1))
        eventually("what is no map is ignored") { ignored.isNotEmpty() }
        cloud.restart(acknowledges = true) // then it is asked again at once
        eventually("the map has come") { maps.any { it.find("kettle")?.slot == 4 } }
        eventually("the problem is over") { phone.snapshot.problems.isEmpty() }
        assertEquals(2, cloud.asked.count { it == "kettle" })
    }

    @Test
    fun `nothing that comes from the broker ends the session`(@TempDir folder: Path) {
        val phone = Phone(folder).started()
        val cloud = phone.cloud()
        eventually("the cloud is online") { phone.snapshot.cloudIsOnline }
        val rubbish = listOf(ByteArray(0), byteArrayOf(-1), ByteArray(5000) { it.toByte() }, "text".toByteArray())
        for (topic in listOf(phone.topics.ack, phone.topics.model, phone.topics.predictReply, phone.topics.classReply)) {
            rubbish.forEach { cloud.publish(topic, it, retain = false) }
        }
        eventually("it is told") { "ignored from the broker" in phone.snapshot.lastError }
        cloud.restart(acknowledges = true)
        phone.put(2)
        eventually("the session goes on") { phone.spool.totals.held == 0 }
    }

    @Test
    fun `a broker that refuses is told as one, and is asked again when the user wants`(@TempDir folder: Path) {
        val closed = Mosquitto.start(Files.createDirectory(folder.resolve("broker")), "allow_anonymous false")
        running.add(closed)
        val phone = Phone(folder, at = closed.address).started()
        eventually("it refuses") { phone.snapshot.state == LinkState.REFUSED }
        assertEquals("${closed.address} refuses the connection: not authorized", phone.snapshot.reason)
        assertNull(phone.snapshot.waitsFor)
        assertFalse(phone.snapshot.cloudIsOnline)
    }
}
