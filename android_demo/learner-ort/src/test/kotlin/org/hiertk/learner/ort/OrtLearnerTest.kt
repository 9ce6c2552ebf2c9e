package org.hiertk.learner.ort

import org.hiertk.core.ConfigException
import org.hiertk.core.EngineException
import org.hiertk.core.bundle.openBundle
import org.hiertk.learner.LearnerFaultsSuite
import org.hiertk.learner.LearnerSuite
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import java.nio.file.Paths
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class OrtLearnerTest : LearnerSuite(RealEngine)

class OrtLearnerFaultsTest : LearnerFaultsSuite(RealEngine) {
    @Test
    fun `fewer threads than one are refused`() {
        assertThrows<ConfigException> { OrtLearner(bundle, threads = 0) }
    }

    @Test
    fun `an engine that cannot train is refused with one line`() {
        val java = Paths.get(System.getProperty("java.home"), "bin", "java").toString()
        val classes = System.getProperty("java.class.path")
        val folder = bundle.folder.toString()
        val process = ProcessBuilder(java, "-cp", classes, WithoutTraining::class.java.name, folder).start()
        val printed = process.inputStream.bufferedReader().readText()
        assertEquals(0, process.waitFor())
        assertTrue(printed.startsWith("this onnxruntime 1.19.2 cannot train: "), printed)
        assertEquals(1, printed.trim().lines().size)
    }
}

/** A process of its own that has the desktop jar's own engine, which was built without training. */
object WithoutTraining {
    @JvmStatic
    fun main(arguments: Array<String>) {
        try {
            OrtLearner(openBundle(Paths.get(arguments[0])))
        } catch (error: EngineException) {
            println(error.message)
        }
    }
}
