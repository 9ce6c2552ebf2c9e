"""What trains the edge partition on a device, whatever the engine."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.new_class import ExitRow

Float32Array = npt.NDArray[np.float32]
SlotArray = npt.NDArray[np.int64]
MAX_LEARNING_RATE = 10


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

    def rows(self, start: int, stop: int) -> "StepResult":
        """Return samples `start` to `stop`; the loss stays that of the whole batch."""
        return StepResult(self.loss, self.features[start:stop], self.logits[start:stop])


class Learner(Protocol):
    """The edge partition and its early exit, trained by an on-device engine.

    Images are (N, 3, size, size) float32, normalized as the manifest says; labels (N,) int64 class
    slots. One thread at a time. A step that raises leaves the learner as it was. At first the
    manifest's classes have open slots; later a checkpoint says which are open.
    """

    @property
    def edge_step(self) -> int:
        """Optimizer steps done since the bundle was exported."""

    @property
    def learning_rate(self) -> float:
        """The optimizer's rate from the next step on. Setting it raises ConfigError."""

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None: ...

    @property
    def fixed_batch_size(self) -> int | None:
        """Samples of every step that the engine takes, None where it takes any number."""

    @property
    def open_slots(self) -> frozenset[int]:
        """The class slots that the early exit tells apart; the only valid labels."""

    def exit_rows(self, slots: Sequence[int]) -> list[ExitRow]:
        """Return copies of the slots' rows, open or not. Raises ConfigError for what is no slot."""

    def open_slot(self, slot: int, row: ExitRow | None = None) -> None:
        """Open a slot with that row, or with the one that it has; an open one gets the row.

        The row's moments begin at zero where the engine shows them. Raises ConfigError for what is
        no slot, and for a row of another length or with values that are not finite.
        """

    def close_slot(self, slot: int) -> None:
        """Close a slot: its probability and its gradient are exactly 0 then, its row is kept.

        Raises ConfigError for what is no slot.
        """

    def adjust(self, prior: Float32Array | None) -> None:
        """Add a prior (class slots,) to the logits of training steps from now on; None: nothing.

        What a step returns, logits and loss, is without it. Raises ConfigError for a prior of
        another shape or with values that are not finite.
        """

    def can_train(self, samples: int) -> bool:
        """Return whether a step can train on exactly so many samples, if need be padded."""

    def step(self, images: Float32Array, labels: SlotArray) -> StepResult:
        """Do one training step.

        Raises ConfigError for a label without an open slot, or a number of samples that
        `can_train` denies.
        """

    def evaluate(self, images: Float32Array, labels: SlotArray | None = None) -> StepResult:
        """Run the inference form (running statistics, no update) and measure the loss.

        Without labels the loss is NaN. Raises ConfigError for a label without an open slot.
        """

    def save(self, path: Path) -> None:
        """Write parameters, optimizer state, step and open slots atomically.

        Raises StorageError.
        """


@runtime_checkable
class StepwiseLearner(Learner, Protocol):
    """A learner whose step can be taken apart, to be measured or compared."""

    def forward_backward(self, images: Float32Array, labels: SlotArray) -> StepResult:
        """Compute loss and gradients, and move the running statistics."""

    def update(self) -> None:
        """Take one optimizer step and clear the gradients."""


def check_images(images: Float32Array, shape: tuple[int, int, int]) -> None:
    """Refuse images that are not (N, *shape) float32, N from 1. Raises ConfigError."""
    if images.dtype != np.float32 or images.shape[1:] != shape or not len(images):
        raise ConfigError(
            f"images must be (N, {', '.join(map(str, shape))}) float32, "
            f"got {images.dtype} {images.shape}"
        )


def check_labels(labels: SlotArray, count: int, open_slots: frozenset[int]) -> None:
    """Refuse labels that the engine would silently turn into a garbage loss.

    Raises ConfigError.
    """
    if labels.shape != (count,) or labels.dtype != np.int64:
        raise ConfigError(f"labels must be ({count},) int64, got {labels.dtype} {labels.shape}")
    unknown = sorted(set(labels.tolist()) - open_slots)
    if unknown:
        raise ConfigError(
            f"label {unknown[0]} has no class: slots {shown_slots(open_slots)} are open"
        )


def shown_slots(slots: frozenset[int]) -> str:
    """Return slots as a reader wants them: "0-9, 14"."""
    runs: list[list[int]] = []
    for slot in sorted(slots):
        if runs and slot == runs[-1][1] + 1:
            runs[-1][1] = slot
        else:
            runs.append([slot, slot])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs) or "(none)"


def check_batch_size(learner: Learner, size: int) -> None:
    """Refuse a batch size other than the one that the learner's program has. Raises ConfigError."""
    fixed = learner.fixed_batch_size
    if fixed is not None and size != fixed:
        raise ConfigError(
            f"--batch-size {size}: this bundle's program takes {fixed} images a step: leave the "
            f"option, or export the bundle with --batch-size {size}"
        )


def check_learning_rate(rate: float) -> None:
    """Refuse a rate that no bundle may have. Raises ConfigError."""
    if not (math.isfinite(rate) and 0 < rate <= MAX_LEARNING_RATE):
        raise ConfigError(f"learning rate {rate:g}: above 0, up to {MAX_LEARNING_RATE}")


def evaluate_known(
    learner: Learner, images: Float32Array, labels: SlotArray
) -> tuple[StepResult, SlotArray] | None:
    """Return what the early exit says of the images, and their labels; None of none.

    Images of a class that it was not trained on yet are left out: they have no open slot.
    """
    known = np.isin(labels, list(learner.open_slots))
    if not known.any():
        return None
    if not known.all():
        images, labels = images[known], labels[known]
    return learner.evaluate(images, labels), labels
