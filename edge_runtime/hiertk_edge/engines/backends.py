"""Opening what trains a bundle: its manifest says which engine, so no option does."""

from pathlib import Path
from typing import TYPE_CHECKING

from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import Backend

from hiertk_edge.learner import Learner

if TYPE_CHECKING:
    from hiertk_edge.engines.program import Program  # imports torch


def open_learner(
    bundle: Bundle,
    *,
    threads: int = 1,
    checkpoint: Path | None = None,
    learning_rate: float | None = None,
) -> Learner:
    """Open the bundle's engine, at a checkpoint of `Learner.save` or at the exported weights.

    learning_rate: None for the bundle's own. Raises BundleError if the engine's version, the
    program or the checkpoint does not fit, ConfigError if the engine is not installed.
    """
    learner = _open(bundle, threads, checkpoint)
    if learning_rate is not None:
        learner.learning_rate = learning_rate
    return learner


def _open(bundle: Bundle, threads: int, checkpoint: Path | None) -> Learner:
    backend = bundle.manifest.engine.backend
    if backend == "onnxruntime":
        from hiertk_edge.engines.ort_learner import OrtLearner

        return OrtLearner(bundle, threads=threads, checkpoint=checkpoint)
    _require_torch(backend)
    from hiertk_edge.engines.program_learner import ProgramLearner

    program = _open_program(bundle, threads)
    return ProgramLearner(bundle, program, threads=threads, checkpoint=checkpoint)


def _open_program(bundle: Bundle, threads: int) -> "Program":
    if bundle.manifest.engine.backend == "executorch":
        from hiertk_edge.engines import executorch_program

        return executorch_program.open_program(bundle, threads=threads)
    from hiertk_edge.engines import torch_program

    return torch_program.open_program(bundle, threads=threads)


def _require_torch(backend: Backend) -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"backend {backend} needs PyTorch on the device ({error}): "
            f"pip install 'hiertk[edge-{backend}]'"
        ) from error
