"""A device's trained edge partition as a file, to be merged with its cloud partition elsewhere.

No message of the protocol carries these weights: whoever wants them takes them from the device. The
names are the reference module's own, whatever the backend; no torch is needed where the backend
needs none.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from hiertk_protocol.bundle import EDGE_WEIGHTS_FORMAT, Bundle
from hiertk_protocol.errors import ModelError, StorageError
from hiertk_protocol.files import atomic_file
from safetensors import SafetensorError
from safetensors.numpy import save_file

from hiertk_edge.engines.backends import open_learner
from hiertk_edge.learner import Float32Array, Learner


@runtime_checkable
class ReadableLearner(Learner, Protocol):
    """A learner that shows its weights."""

    def parameters(self) -> dict[str, Float32Array]:
        """Return copies of all parameters and running statistics by PyTorch's names."""


@dataclass(frozen=True)
class WrittenWeights:
    """A file of edge weights. values: of all its tensors."""

    path: Path
    edge_step: int
    tensors: int
    values: int


def write_edge_weights(bundle: Bundle, checkpoint: Path, out: Path) -> WrittenWeights:
    """Write the parameters and running statistics of a checkpoint, early exit included.

    Raises BundleError if bundle, checkpoint and engine do not fit together, ModelError if training
    has diverged, StorageError if the disk refuses.
    """
    learner = open_learner(bundle, checkpoint=checkpoint)
    assert isinstance(learner, ReadableLearner), "all three backends are"
    weights = {name: np.ascontiguousarray(value) for name, value in learner.parameters().items()}
    _require_finite(weights, checkpoint)
    metadata = {
        "format": EDGE_WEIGHTS_FORMAT,
        "bundle_id": bundle.manifest.bundle_id.hex(),
        "edge_step": str(learner.edge_step),
    }
    with atomic_file(out) as temporary:
        try:
            save_file(weights, temporary, metadata)
        except SafetensorError as error:
            raise StorageError(f"cannot write {out}: {error}") from error
    return WrittenWeights(
        path=out,
        edge_step=learner.edge_step,
        tensors=len(weights),
        values=sum(value.size for value in weights.values()),
    )


def _require_finite(weights: dict[str, Float32Array], checkpoint: Path) -> None:
    for name, value in weights.items():
        if not np.isfinite(value).all():
            raise ModelError(
                f"{checkpoint}: {name} is not finite: training has diverged, begin again with "
                "another state folder and a smaller --learning-rate"
            )
