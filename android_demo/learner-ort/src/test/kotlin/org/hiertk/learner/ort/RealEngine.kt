/** The real training engine on a plain JVM, and a bundle of the real toolkit; needs gcc, too. */
package org.hiertk.learner.ort

import org.hiertk.core.bundle.Bundle
import org.hiertk.learner.Python
import org.hiertk.learner.TestedEngine
import java.nio.file.Path

object RealEngine : TestedEngine {
    override val bundle: Bundle by lazy {
        load()
        val settings = "--model resnet18 --split 2 --input-size 32 --classes 10"
        Python.export("resnet18-split2-android-32", *settings.split(" ").toTypedArray())
    }

    override fun open(bundle: Bundle, checkpoint: Path?) = OrtLearner(bundle, checkpoint)

    private fun load() {
        val builder = Python.module.resolve("src/test/native/engine.py").toString()
        val library = Python.run(builder, Python.module.resolve("target/native").toString())
        System.setProperty("onnxruntime.native.onnxruntime.path", library.trim())
    }
}
