package org.hiertk.core.bundle

import java.nio.file.Files
import java.nio.file.Path
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import org.hiertk.core.BundleException
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

class BundleTest {
    @TempDir
    lateinit var folder: Path
    private val checkpoint get() = folder.resolve("edge/checkpoint")

    @BeforeEach
    fun write() {
        writeSampleBundle(folder)
    }

    private fun refused(): String = assertFailsWith<BundleException> { openBundle(folder) }.message.orEmpty()

    @Test
    fun `a whole bundle opens and gives out its files`() {
        val bundle = openBundle(folder)
        assertEquals(sampleManifest().bundleId, bundle.manifest.bundleId)
        assertContentEquals(SAMPLE_FILES["edge/checkpoint"], Files.readAllBytes(bundle.path("edge/checkpoint")))
    }

    @Test
    fun `files that no device needs may be missing, and are not given out`() {
        Files.delete(folder.resolve("cloud/cloud.safetensors"))
        val bundle = openBundle(folder)
        for (name in listOf("cloud/cloud.safetensors", "edge/other", "../edge/checkpoint")) {
            assertFailsWith<BundleException> { bundle.path(name) }
        }
    }

    @Test
    fun `a file of another size is refused`() {
        Files.write(checkpoint, ByteArray(1299))
        assertTrue("1299 bytes, the manifest says 1300" in refused())
    }

    @Test
    fun `a file of other content is refused`() {
        Files.write(checkpoint, SAMPLE_FILES.getValue("edge/checkpoint").copyOf().also { it[7] = 0x55 })
        assertTrue("its checksum is not the manifest's" in refused())
    }

    @Test
    fun `a missing file is refused`() {
        Files.delete(checkpoint)
        assertTrue("no such file" in refused())
    }

    @Test
    fun `a link or a folder in place of a file is refused`() {
        Files.move(checkpoint, folder.resolve("elsewhere"))
        Files.createSymbolicLink(checkpoint, folder.resolve("elsewhere"))
        assertTrue("not a plain file" in refused())
        Files.delete(checkpoint)
        Files.createDirectory(checkpoint)
        assertTrue("not a plain file" in refused())
    }

    @Test
    fun `a folder without a manifest is no bundle`() {
        Files.delete(folder.resolve("manifest.json"))
        assertTrue("manifest.json: no such file: is this a bundle folder?" in refused())
    }

    @Test
    fun `a manifest that never ends is not read to its end`() {
        Files.write(folder.resolve("manifest.json"), ByteArray(5 shl 20))
        assertTrue("more than" in refused())
    }
}
