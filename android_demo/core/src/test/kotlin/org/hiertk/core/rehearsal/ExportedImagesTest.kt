package org.hiertk.core.rehearsal

import org.hiertk.core.BundleException
import org.hiertk.core.bundle.Bundle
import org.hiertk.core.bundle.unpackBundle
import org.hiertk.core.bundle.writeSampleBundle
import org.hiertk.core.classes.DeviceClasses
import org.hiertk.core.classes.ExportedClasses
import org.hiertk.core.classes.Registry
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.Paths
import kotlin.random.Random
import kotlin.test.assertContains
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

private const val RAW_BYTES = 4 * 4 * 3
private val RESOURCES = Paths.get("src/test/resources")

class ExportedImagesTest {
    @TempDir
    lateinit var folder: Path

    private val exported = ExportedClasses("ab".repeat(32), listOf("cat", "dog"), capacity = 8)
    private val images = List(40) { ExportedImage(ByteArray(RAW_BYTES) { _ -> it.toByte() }, if (it < 30) "cat" else "dog") }

    @Test
    fun `images that Python has put into a bundle are read with their classes`() {
        val zip = RESOURCES.resolve("bundles/with_images.zip")
        val found = exportedImages(Files.newInputStream(zip).use { unpackBundle(it, folder) }).toList()
        assertEquals(listOf("trousers", "shirt", "trousers"), found.map { it.name })
        for ((image, degrees) in found.zip(listOf(0, 90, 180))) {
            assertContentEquals(Files.readAllBytes(RESOURCES.resolve("images/portrait_32_$degrees.rgb")), image.pixels)
        }
    }

    @Test
    fun `a bundle without images brings none`() {
        assertEquals(0, exportedImages(writeSampleBundle(folder)).count())
    }

    @Test
    fun `images of another size, or of no class, are refused`() {
        assertEquals(2, exportedImages(bundleWith(shape = "[2,32,32,3]", slots = listOf(0, 1))).count())
        val wrong = listOf(
            bundleWith(shape = "[2,32,32,3]", slots = listOf(0, 2)), bundleWith(shape = "[2,32,32,3]", slots = listOf(0)),
            bundleWith(shape = "[1,64,32,3]", slots = listOf(0)), bundleWith(shape = "[2,32,32,3]", slots = listOf(0, 1), kind = "I8"),
        )
        for (bundle in wrong) {
            val error = assertFailsWith<BundleException> { exportedImages(bundle).toList() }
            assertContains(error.message.orEmpty(), "samples.safetensors")
        }
    }

    @Test
    fun `a new memory begins with them, each tenth of a class held out, and only once`() {
        open().use { memory ->
            assertEquals(listOf(27, 9), memory.counts.values.map { it.kept })
            assertEquals(listOf(9, 19, 29, 39), memory.heldOut(0, 10).map { it.pixels[0].toInt() })
            val drawn = memory.draw(40, Random(1))
            assertEquals(36, drawn.size)
            assertEquals(drawn.map { if (it.pixels[0] < 30) 0 else 1 }, drawn.map { it.slot })
            memory.add(ByteArray(RAW_BYTES), slot = 1)
        }
        assertEquals(37, open().use { it.size })
    }

    @Test
    fun `a small memory keeps as many of each class as there is room for`() {
        val memory = open(maxBytes = 20L * (HEAD_BYTES + RAW_BYTES))
        assertEquals(listOf(9, 9), memory.counts.values.map { it.kept })
        assertEquals(2, memory.heldOutCount)
    }

    @Test
    fun `a damaged memory begins anew with them, and one that failed on the way with all of them`() {
        val cut = sequence { images.forEachIndexed { row, one -> if (row == 33) throw BundleException("gone") else yield(one) } }
        assertFailsWith<BundleException> { open(cut) }
        assertEquals(40, open().use { it.size + it.heldOutCount })
        Files.write(folder.resolve("memory/labels.json"), byteArrayOf(123))
        assertEquals(40, open().use { it.size + it.heldOutCount })
    }

    @Test
    fun `those of a class that was retired are left out, those of a moved one follow it`() {
        val registry = Registry(exported.names, capacity = 8)
        registry.retire("cat")
        registry.add("wolf")
        registry.merge("dog", into = "wolf")
        val classes = classes().also { it.follow(registry.map) }
        val slot = checkNotNull(classes.table.slotOf("wolf"))
        assertEquals(mapOf(slot to 9), open(classes = classes).counts.mapValues { it.value.kept })
    }

    private fun classes() = DeviceClasses.open(folder.resolve("classes.json"), exported)

    private fun open(
        images: Sequence<ExportedImage> = this.images.asSequence(), maxBytes: Long = 1 shl 20, classes: DeviceClasses = classes(),
    ) = RehearsalMemory.open(folder.resolve("memory"), RAW_BYTES, maxBytes, classes, Random(1)) { images }

    /** Return a bundle of the classes shirt and trousers, with black images. */
    private fun bundleWith(shape: String, slots: List<Long>, kind: String = "U8"): Bundle {
        val values = 2 * 32 * 32 * 3
        val header = """{"images":{"dtype":"$kind","shape":$shape,"data_offsets":[0,$values]},""" +
            """"slots":{"dtype":"I64","shape":[${slots.size}],"data_offsets":[$values,${values + 8 * slots.size}]}}"""
        val data = ByteBuffer.allocate(8 + header.length + values + 8 * slots.size).order(ByteOrder.LITTLE_ENDIAN)
        data.putLong(header.length.toLong()).put(header.toByteArray()).put(ByteArray(values))
        slots.forEach { data.putLong(it) }
        return writeSampleBundle(Files.createTempDirectory(folder, "bundle"), mapOf("rehearsal/samples.safetensors" to data.array()))
    }
}
