package org.hiertk.core.bundle

import java.io.ByteArrayOutputStream
import java.io.InputStream
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.Paths
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue
import net.jqwik.api.ForAll
import net.jqwik.api.Property
import org.hiertk.core.BundleException
import org.hiertk.core.HierTkException
import org.hiertk.core.StorageException
import org.hiertk.core.deleteTree
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

private val CONTENT = bytes(sampleContent())
private val ENTRIES = listOf("manifest.json" to CONTENT) + SAMPLE_FILES.toList()

private fun zip(entries: List<Pair<String, ByteArray>> = ENTRIES): ByteArray {
    val target = ByteArrayOutputStream()
    ZipOutputStream(target).use { archive ->
        for ((name, data) in entries) {
            archive.putNextEntry(ZipEntry(name))
            archive.write(data)
            archive.closeEntry()
        }
    }
    return target.toByteArray()
}

class UnpackingTest {
    @TempDir
    lateinit var parent: Path

    private fun names() = parent.toFile().list().orEmpty().sorted()

    private fun refused(data: ByteArray, advice: String) {
        val error = assertFailsWith<BundleException> { unpackBundle(data.inputStream(), parent) }
        assertTrue(advice in error.message.orEmpty(), error.message)
        assertEquals(emptyList(), names())
    }

    @Test
    fun `a bundle that Python zipped is unpacked without its cloud part`() {
        val bundle = Files.newInputStream(Paths.get("src/test/resources/bundles/first.zip")).use { unpackBundle(it, parent) }
        assertEquals(listOf(bundle.manifest.bundleName), names())
        assertEquals(1300, Files.size(bundle.path("edge/checkpoint")))
        assertFalse(Files.exists(bundle.folder.resolve("cloud")))
    }

    @Test
    fun `folders and a signature among the entries do no harm`() {
        val signed = ENTRIES.take(1) + listOf("manifest.sig" to ByteArray(300), "edge/" to byteArrayOf()) + ENTRIES.drop(1)
        assertEquals(CONTENT.size.toLong(), Files.size(unpackBundle(zip(signed).inputStream(), parent).folder.resolve("manifest.json")))
    }

    @Test
    fun `a whole bundle is kept, a damaged one is replaced`() {
        val bundle = unpackBundle(zip().inputStream(), parent)
        Files.write(bundle.folder.resolve("note"), byteArrayOf(1))
        unpackBundle(zip().inputStream(), parent)
        assertTrue(Files.exists(bundle.folder.resolve("note")))
        Files.write(bundle.path("edge/checkpoint"), byteArrayOf(1))
        unpackBundle(zip().inputStream(), parent)
        assertFalse(Files.exists(bundle.folder.resolve("note")))
        assertEquals(listOf(bundle.manifest.bundleName), names())
    }

    @Test
    fun `what a killed attempt has left is deleted, and nothing else`() {
        Files.createDirectories(parent.resolve(".0123456789abcdef.tmp/edge"))
        Files.createDirectories(parent.resolve(".0123456789abcdef.old"))
        Files.createDirectories(parent.resolve("photos"))
        val bundle = unpackBundle(zip().inputStream(), parent)
        assertEquals(listOf(bundle.manifest.bundleName, "photos").sorted(), names())
    }

    @Test
    fun `a zip that does not begin with the manifest is refused`() {
        refused(zip(ENTRIES.reversed()), "does not begin with manifest.json")
        refused(ByteArray(100), "not a zip")
        refused(byteArrayOf(), "not a zip")
    }

    @Test
    fun `names that the manifest has not are refused, wherever they lead`() {
        for (name in listOf("../outside", "/tmp/outside", "edge/../../outside", "edge/other", "edge\\checkpoint")) {
            val error = assertFailsWith<BundleException> { unpackBundle(zip(ENTRIES + (name to byteArrayOf(1))).inputStream(), parent) }
            assertTrue("in the manifest" in error.message.orEmpty(), error.message)
        }
        assertEquals(emptyList(), names())
        assertFalse(Files.exists(parent.resolveSibling("outside")))
    }

    @Test
    fun `an entry that is there twice is refused`() {
        val twice = zip(ENTRIES + ("edge/checkpoinX" to SAMPLE_FILES.getValue("edge/checkpoint")))
        val patched = String(twice, Charsets.ISO_8859_1).replace("edge/checkpoinX", "edge/checkpoint")
        refused(patched.toByteArray(Charsets.ISO_8859_1), "there twice")
    }

    @Test
    fun `an entry that is larger than the manifest says is not read to its end`() {
        val bomb = ENTRIES.map { (name, data) -> name to if (name == "manifest.json") data else ByteArray(64 shl 20) }
        val stream = CountingStream(zip(bomb).inputStream())
        assertFailsWith<BundleException> { unpackBundle(stream, parent) }
        assertTrue(stream.read < 4096, "${stream.read} bytes were read")
        assertEquals(emptyList(), names())
        refused(zip(listOf("manifest.json" to ByteArray(4 shl 20))), "more than")
        refused(zip(ENTRIES.take(1) + ("manifest.sig" to ByteArray(5000))), "more than the 4096 bytes")
        refused(zip(ENTRIES.take(1) + ("edge/" to ByteArray(5000))), "more than the 0 bytes")
    }

    @Test
    fun `a shorter, another, or a missing file is refused`() {
        val data = SAMPLE_FILES.getValue("edge/checkpoint")
        val others = ENTRIES.filter { it.first != "edge/checkpoint" }
        refused(zip(others + ("edge/checkpoint" to data.copyOf(5))), "5 bytes, the manifest says 1300")
        refused(zip(others + ("edge/checkpoint" to data.reversedArray())), "its checksum is not the manifest's")
        refused(zip(others), "edge/checkpoint is missing")
    }

    @Test
    fun `a bundle for which there is no room is refused before anything is written`() {
        val info = """{"sha256": "${"0".repeat(64)}", "size": ${4L shl 30}}"""
        val files = (0 until 4000).joinToString(",", "{", "}") { "\"edge/$it\": $info" }
        val huge = bytes(sampleContent().with("files", kotlinx.serialization.json.Json.parseToJsonElement(files)))
        val error = assertFailsWith<StorageException> { unpackBundle(zip(listOf("manifest.json" to huge)).inputStream(), parent) }
        assertTrue("make room" in error.message.orEmpty(), error.message)
        assertEquals(emptyList(), names())
    }

    @Property(tries = 100)
    fun `a zip that was cut or changed is refused and leaves nothing, or is whole`(
        @ForAll place: Int, @ForAll value: Byte, @ForAll isCut: Boolean,
    ) {
        val whole = zip()
        val at = Math.floorMod(place, whole.size)
        val damaged = if (isCut) whole.copyOf(at) else whole.copyOf().also { it[at] = value }
        val parent = Files.createTempDirectory("unpacking")
        try {
            val bundle = unpackBundle(damaged.inputStream(), parent)
            assertContentEquals(SAMPLE_FILES["edge/checkpoint"], Files.readAllBytes(bundle.path("edge/checkpoint")))
        } catch (_: HierTkException) {
            assertEquals(0, parent.toFile().list().orEmpty().size)
        } finally {
            deleteTree(parent)
        }
    }
}

private class CountingStream(private val inner: InputStream) : InputStream() {
    var read = 0L

    override fun read(): Int = inner.read().also { if (it >= 0) read++ }

    override fun read(into: ByteArray, offset: Int, length: Int): Int =
        inner.read(into, offset, minOf(length, 512)).also { if (it > 0) read += it }
}
