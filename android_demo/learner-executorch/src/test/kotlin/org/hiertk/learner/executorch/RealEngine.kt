package org.hiertk.learner.executorch

import org.hiertk.core.bundle.Bundle
import org.hiertk.learner.Python
import org.hiertk.learner.TestedEngine
import java.nio.file.Path

/** The learner over the real engine; batches of 4 are enough to see all and quick to run. */
object RealEngine : TestedEngine {
    override val bundle: Bundle by lazy { export("resnet18-split1-4") }

    /** A bundle whose batches may be smaller, and which uses all that SGD has. */
    val padding: Bundle by lazy {
        export("resnet18-split1-4-group", "--normalization", "group", "--weight-decay", "0.01", "--nesterov")
    }

    override fun open(bundle: Bundle, checkpoint: Path?) = ExecutorchLearner(bundle, checkpoint, ::PipedProgram)

    private fun export(name: String, vararg more: String): Bundle {
        val settings = "--model resnet18 --split 1 --backend executorch --batch-size 4 --input-size 32 --classes 10"
        return Python.export(name, *settings.split(" ").toTypedArray(), *more)
    }
}
