"""What trains the edge partition on a device, whatever the engine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import BundleError, ConfigError

Float32Array = npt.NDArray[np.float32]
SlotArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class StepResult:
    """What one training step or one prediction gives.

    features: (N, C, H, W) float32, as they were before the step. logits: (N, class slots) float32.
    loss: mean cross entropy of the early exit, nats.
    """

    loss: float
    features: Float32Array
    logits: Float32Array

    @property
    def predictions(self) -> SlotArray:
        """The early exit's class slots, (N,) int64."""
        slots: SlotArray = self.logits.argmax(axis=1)
        return slots


class Learner(Protocol):
    """The edge partition and its early exit, trained by an on-device engine.

    Images are (N, 3, size, size) float32, normalized as the manifest says; labels (N,) int64 class
    slots. One thread at a time.
    """

    @property
    def edge_step(self) -> int:
        """Optimizer steps done since the bundle was exported."""

    def step(self, images: Float32Array, labels: SlotArray) -> StepResult:
        """Do one training step. Raises ConfigError for a label without an open slot."""

    def evaluate(self, images: Float32Array, labels: SlotArray) -> StepResult:
        """Run the inference form (running statistics, no update) and measure the loss."""

    def save(self, path: Path) -> None:
        """Write parameters, optimizer state and step atomically. Raises StorageError."""


@runtime_checkable
class StepwiseLearner(Learner, Protocol):
    """A learner whose step can be taken apart, to be measured or compared."""

    def forward_backward(self, images: Float32Array, labels: SlotArray) -> StepResult:
        """Compute loss and gradients, and move the running statistics."""

    def update(self) -> None:
        """Take one optimizer step and clear the gradients."""


def open_learner(bundle: Bundle, *, threads: int = 1, checkpoint: Path | None = None) -> Learner:
    """Open the bundle's engine, at a checkpoint of `Learner.save` or at the exported weights.

    Raises BundleError if the engine, its version or the checkpoint does not fit.
    """
    backend = bundle.manifest.engine.backend
    if backend != "onnxruntime":
        raise BundleError(f"{bundle.folder}: no runtime for backend {backend} in this version")
    from hiertk_edge.ort_learner import OrtLearner

    return OrtLearner(bundle, threads=threads, checkpoint=checkpoint)


def check_labels(labels: SlotArray, count: int, open_slots: int) -> None:
    """Refuse labels that the engine would silently turn into a garbage loss.

    Raises ConfigError.
    """
    if labels.shape != (count,) or labels.dtype != np.int64:
        raise ConfigError(f"labels must be ({count},) int64, got {labels.dtype} {labels.shape}")
    if count and not (int(labels.min()) >= 0 and int(labels.max()) < open_slots):
        raise ConfigError(
            f"label {labels.min() if labels.min() < 0 else labels.max()} has no class: "
            f"slots 0 to {open_slots - 1} are open"
        )
