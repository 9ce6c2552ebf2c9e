package org.hiertk.core.link

import java.nio.file.Path
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import kotlin.math.abs
import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertNotNull
import kotlin.test.assertTrue
import org.hiertk.core.classes.DeviceClasses
import org.hiertk.core.classes.ExportedClasses
import org.hiertk.core.codec.quantize
import org.hiertk.core.tensors.Safetensors
import org.hiertk.core.learning.StepResult
import org.hiertk.core.messages.BatchEncoder
import org.hiertk.core.messages.ClassContract
import org.hiertk.core.messages.PredictAnswer
import org.hiertk.core.messages.PredictionContract
import org.hiertk.core.spool.Spool
import org.hiertk.protocol.DeviceStatus
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.BeforeAll
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.io.TempDir

private const val DEVICE = "phone-1"
private const val BATCHES = 30
private const val PATIENCE_SECONDS = 120L

/** The phone's core against the real cloud service and a real, secured Mosquitto. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class LiveCloudTest {
    private lateinit var live: LiveCloud

    @BeforeAll
    fun start() {
        live = LiveCloud()
    }

    @AfterAll
    fun end() = live.close()

    @Test
    fun `features are trained on once though the broker dies, a class gets its slot, a question its answer`(
        @TempDir folder: Path,
    ) {
        val manifest = live.bundle.manifest
        val classes = DeviceClasses.open(folder.resolve("classes.json"), ExportedClasses(manifest))
        val link = ClassLink(ClassContract(manifest), { classes.provisional }, { classes.follow(it) }, classes::ignore)
        val golden = Safetensors(live.bundle.path("golden/steps.safetensors"))
        val features = golden.floats("features")
        val result = StepResult(1.5f, features, golden.floats("logits"))
        val samples = features.size / manifest.features.values
        val labels = golden.longs("labels", 0, samples).map(Long::toInt).toIntArray()
        val encoder = BatchEncoder(manifest, DEVICE)

        Spool.open(folder.resolve("spool")).use { spool ->
            val settings = SessionSettings(manifest.deployment, DEVICE, folder.resolve("wire-hours.txt"))
            val transport = HiveMqTransport(live.passwordAddress(), live.password())
            Session(settings, transport, spool, link).use { session ->
                fun put(step: Int) =
                    encoder.encode(result, labels, classes.table.wire, step.toLong()).forEach(spool::put)
                fun waitFor(what: String, condition: () -> Boolean) = eventually(what, PATIENCE_SECONDS) {
                    val others = session.snapshot.problems.filter { "cannot be reached" !in it && "ended" !in it }
                    assertTrue(others.isEmpty(), "$others")
                    condition()
                }

                for (step in 1..BATCHES / 2) put(step)
                session.report(DeviceStatus.newBuilder().setState(DeviceStatus.State.TRAINING).setEdgeStep(1).build())
                session.start()
                waitFor("the first acks come") { spool.totals.settled > 0 }
                for (step in BATCHES / 2 + 1..BATCHES) put(step)
                session.wake()
                live.broker.kill()
                waitFor("the phone has noticed") { session.snapshot.state != LinkState.CONNECTED }
                live.broker.start()
                session.retryNow()
                waitFor("everything is settled") { spool.totals.held == 0 }
                assertEquals(BATCHES.toLong(), spool.totals.settled)
                waitFor("everything is trained on") { session.snapshot.model?.trainedTotal == BATCHES.toLong() }
                assertEquals(BATCHES.toLong(), session.snapshot.model?.storedTotal)
                assertEquals(0, session.snapshot.model?.refusedTotal)

                classes.nameNew("kettle")
                session.wake()
                waitFor("the class has its slot") { classes.provisional.isEmpty() }
                assertEquals(3, assertNotNull(classes.table.map.find("kettle")).slot)

                val contract = PredictionContract(manifest)
                val replies = LinkedBlockingQueue<Reply>()
                val one = quantize(features, manifest.features.of(1), manifest.features.bits)
                session.ask(contract.request(one), 60_000) { replies.add(it) }
                val reply = assertIs<Reply.Came>(replies.poll(PATIENCE_SECONDS, TimeUnit.SECONDS))
                val answer = assertIs<PredictAnswer.FinalExit>(contract.readReply(reply.payload, samples = 1))
                assertEquals(manifest.classes.capacity, answer.probabilities.size)
                assertTrue(abs(answer.probabilities.sum() - 1f) < 1e-3f)
                assertEquals(0f, answer.probabilities.last(), "a closed slot")
                assertEquals(BATCHES.toLong(), answer.cloudStep)
                assertEquals(BATCHES.toLong(), session.snapshot.model?.storedTotal, "a question stores nothing")
            }
        }
    }

    @Test
    fun `a phone with a certificate is let in`() {
        Client(live.certificateAddress, "any", emptyList(), live.certificate()).use { it.heard.awaitUp() }
    }

    @Test
    fun `whoever is not trusted is refused, with what to do`() {
        val ca = live.read("phone-1/ca.pem").toByteArray()
        val wrongPassword = Credentials(ca = ca, username = DEVICE, password = "guessed")
        val noCertificate = Credentials(ca = ca)
        val otherCa = Credentials(username = DEVICE, password = "x") // those that this machine knows
        val refusals = listOf(
            Triple(live.passwordAddress(), wrongPassword, "check the user name and its password"),
            Triple(live.certificateAddress, noCertificate, "pair the phone again"),
            Triple(live.passwordAddress(), otherCa, "its certificate is not of the deployment's CA"),
            Triple(live.passwordAddress("127.0.0.2"), live.password(), "its certificate is not for 127.0.0.2"),
        )
        for ((address, credentials, advice) in refusals) {
            Client(address, "any", emptyList(), credentials).use { client ->
                val ending = client.heard.awaitEnding()
                assertTrue(ending.isRefusal && advice in ending.reason, "refusal ${ending.isRefusal}: ${ending.reason}")
            }
        }
    }
}
