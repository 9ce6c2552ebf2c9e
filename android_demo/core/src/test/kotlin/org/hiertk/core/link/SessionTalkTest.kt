/** What phone and cloud say beside features: status, questions, classes, and rubbish. */
package org.hiertk.core.link

import java.nio.file.Path
import java.util.concurrent.CopyOnWriteArrayList
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertIs
import org.hiertk.core.bundle.sampleManifest
import org.hiertk.core.classes.ClassMap
import org.hiertk.core.classes.ClassSlot
import org.hiertk.core.classes.toMessage
import org.hiertk.core.messages.ClassContract
import org.hiertk.protocol.DeviceStatus
import org.hiertk.protocol.PredictReply
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

class SessionTalkTest : WithBroker() {
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
    fun `class maps that are none are ignored and told, and the next one is taken`(@TempDir folder: Path) {
        val maps = CopyOnWriteArrayList<ClassMap>()
        val ignored = CopyOnWriteArrayList<String>()
        val link = ClassLink(ClassContract(sampleManifest()), { emptyList() }, { maps.add(it) }, { ignored.add(it) })
        val phone = Phone(folder, link).started()
        val cloud = phone.cloud()
        val swapped = ClassMap(2, listOf(ClassSlot(4, "kettle", 2), ClassSlot(0, "shirt", 1)))
        for ((count, rubbish) in listOf(byteArrayOf(7, 7, 7), ByteArray(0), swapped.toMessage().toByteArray()).withIndex()) {
            cloud.publish(phone.topics.classMap, rubbish)
            eventually("it is told: $ignored") { ignored.size == count + 1 && "ignored from the broker" in phone.snapshot.lastError }
        }
        val map = ClassMap(2, listOf(ClassSlot(0, "shirt", 1), ClassSlot(4, "kettle", 2)))
        cloud.publish(phone.topics.classMap, map.toMessage().toByteArray())
        eventually("the map has come") { maps.toList() == listOf(map) }
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
}
