package org.hiertk.learner.ort

import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.constraints.IntRange
import org.hiertk.core.BundleException
import org.hiertk.core.HierTkException
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import java.nio.file.Files
import java.nio.file.Path
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class CheckpointFileTest {
    @Test
    fun `all parameters and moments of a trained checkpoint are there`() {
        val file = CheckpointFile(trained)
        assertEquals(listOf(16L, 64L), file.parameters.getValue("exit.weight").shape)
        assertEquals(CheckpointFile(RealEngine.bundle.path("edge/checkpoint")).parameters.keys, file.parameters.keys)
        assertTrue(file.moments.all { (_, moments) -> moments.keys == setOf("momentum0", "momentum1") })
        assertTrue("exit.weight" in file.moments.map { it.first })
    }

    @Test
    fun `an exit of another size is refused`() {
        val file = CheckpointFile(trained)
        file.checkExit(16, 64)
        assertThrows<BundleException> { file.checkExit(32, 64) }
        assertThrows<BundleException> { file.checkExit(16, 128) }
    }

    @Test
    fun `what is no checkpoint is refused, also by the learner`() {
        for (name in listOf("manifest.json", "edge/eval_model.onnx", "nothing")) {
            assertThrows<BundleException> { OrtLearner(RealEngine.bundle, RealEngine.bundle.folder.resolve(name)) }
        }
        assertThrows<BundleException> { OrtLearner(RealEngine.bundle, changed(ByteArray(0))) }
    }

    @Property(tries = 40)
    fun `a truncated checkpoint is refused`(@ForAll @IntRange(min = 0, max = 9_999) part: Int) {
        val whole = Files.readAllBytes(trained)
        val file = changed(whole.copyOf((whole.size.toLong() * part / 10_000).toInt()))
        assertThrows<BundleException> { OrtLearner(RealEngine.bundle, file) }
    }

    @Property(tries = 150)
    fun `damaged offsets, sizes and names raise nothing but our errors, and never kill the process`(
        @ForAll @IntRange(min = 0, max = 1 shl 30) place: Int, @ForAll value: Byte,
    ) {
        val bytes = Files.readAllBytes(trained)
        val structure = places(bytes)
        bytes[structure[place % structure.size]] = value
        try {
            OrtLearner(RealEngine.bundle, changed(bytes)).use { it.exitRows(listOf(0)) }
        } catch (error: HierTkException) {
            assertTrue(error.message.orEmpty().isNotBlank())
        }
    }

    private companion object {
        val trained: Path by lazy {
            val file = Files.createTempDirectory("hiertk").resolve("trained")
            val images = FloatArray(2 * RealEngine.bundle.manifest.input.values) { it % 7 / 7f }
            OrtLearner(RealEngine.bundle).use {
                it.step(images, intArrayOf(0, 1))
                it.save(file)
            }
            file
        }

        /** Places in the file that are no tensor's values: all that a reader is led by. */
        fun places(bytes: ByteArray): IntArray {
            val file = CheckpointFile(trained)
            val tensors = file.parameters.values + file.moments.flatMap { it.second.values }
            val isValue = BooleanArray(bytes.size)
            for (tensor in tensors) isValue.fill(true, tensor.bytes.start, tensor.bytes.start + tensor.bytes.length)
            return bytes.indices.filterNot { isValue[it] }.toIntArray()
        }

        fun changed(bytes: ByteArray): Path = trained.resolveSibling("changed").also { Files.write(it, bytes) }
    }
}
