package org.hiertk.demo.engine

import org.hiertk.core.BundleException
import org.hiertk.core.bundle.Backend
import org.hiertk.core.bundle.Bundle
import org.hiertk.core.learning.EdgeLearner
import org.hiertk.learner.executorch.ExecutorchLearner
import org.hiertk.learner.ort.OrtLearner
import java.nio.file.Path

/**
 * Open what trains a bundle: its manifest says which engine.
 *
 * checkpoint: null: at the exported weights. Throws BundleException, EngineException.
 */
fun openLearner(bundle: Bundle, checkpoint: Path?, threads: Int): EdgeLearner = when (bundle.manifest.engine.backend) {
    Backend.ONNXRUNTIME -> OrtLearner(bundle, checkpoint, threads)
    Backend.EXECUTORCH -> ExecutorchLearner(bundle, checkpoint) { file -> ModuleProgram(file, threads) }
    Backend.TORCH -> throw BundleException(
        "${bundle.folder}: the bundle is for PyTorch, which no phone has: export it with --target android",
    )
}
