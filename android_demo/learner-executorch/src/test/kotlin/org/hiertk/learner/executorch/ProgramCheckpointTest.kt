package org.hiertk.learner.executorch

import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.constraints.IntRange
import org.hiertk.core.BundleException
import org.hiertk.core.HierTkException
import org.hiertk.core.golden.GoldenSteps
import org.hiertk.core.tensors.Safetensors
import org.hiertk.learner.train
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.file.Files
import java.nio.file.Path
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class ProgramCheckpointTest {
    @Test
    fun `parameters, momentum and statistics are in it, by the names of the Python learner`() {
        val file = Safetensors(trained)
        val kinds = file.names.groupingBy { it.substringBefore("/") }.eachCount()
        assertEquals(mapOf("parameters" to 11, "statistics" to 6, "momentum_buffer" to 11), kinds)
        assertEquals(listOf(16, 64), file.shape("momentum_buffer/exit.weight"))
        assertTrue(file.floats("momentum_buffer/exit.weight").any { it != 0f })
        assertEquals("3", file.metadata["hiertk_edge_step"])
    }

    @Test
    fun `what is no checkpoint is refused`() {
        for (name in listOf("manifest.json", "edge/train.pte", "edge/params.safetensors", "nothing")) {
            val error = assertThrows<BundleException> { RealEngine.open(checkpoint = RealEngine.bundle.folder.resolve(name)) }
            assertTrue("begin anew from the bundle" in error.message.orEmpty(), error.message)
        }
    }

    @Test
    fun `a checkpoint with another step, slots or shapes is refused`() {
        for ((from, to) in listOf(
            "\"hiertk_edge_step\":\"3\"" to "\"hiertk_edge_step\":\"x\"",
            "\"0 1 2 3 4" to "\"0 1 2 3 3",
            "[16,64]" to "[64,16]",
            "parameters/exit.bias" to "parameters/exit.bios",
        )) {
            val text = String(Files.readAllBytes(trained), Charsets.ISO_8859_1)
            assertTrue(from in text, from)
            val file = changed(text.replaceFirst(from, to).toByteArray(Charsets.ISO_8859_1))
            assertThrows<BundleException>(from) { RealEngine.open(checkpoint = file) }
        }
    }

    @Property(tries = 60)
    fun `a truncated checkpoint is refused`(@ForAll @IntRange(min = 0, max = 9_999) part: Int) {
        val whole = Files.readAllBytes(trained)
        val file = changed(whole.copyOf((whole.size.toLong() * part / 10_000).toInt()))
        assertThrows<BundleException> { RealEngine.open(checkpoint = file) }
    }

    @Property(tries = 200)
    fun `a damaged header raises nothing but our errors`(
        @ForAll @IntRange(min = 0, max = 1 shl 30) place: Int, @ForAll value: Byte,
    ) {
        val bytes = Files.readAllBytes(trained)
        val header = Long.SIZE_BYTES + ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getLong(0).toInt()
        bytes[place % header] = value
        try {
            RealEngine.open(checkpoint = changed(bytes)).use { it.exitRows(listOf(0)) }
        } catch (error: HierTkException) {
            assertEquals(1, error.message.orEmpty().lines().size)
        }
    }

    private companion object {
        val trained: Path by lazy {
            val file = Files.createTempDirectory("hiertk").resolve("trained")
            RealEngine.open().use {
                GoldenSteps(RealEngine.bundle).train(it)
                it.save(file)
            }
            file
        }

        fun changed(bytes: ByteArray): Path = trained.resolveSibling("changed").also { Files.write(it, bytes) }
    }
}
