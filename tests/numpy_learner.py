"""A learner in numpy: a fixed random projection of patches and a linear early exit, by SGD.

The exit's bias is only ever set, by rows that are put there.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from hiertk_edge.engines.exit_slots import ExitSlots, check_row
from hiertk_edge.learner import Float32Array, SlotArray, StepResult
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import BundleError
from hiertk_protocol.files import atomic_file
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.new_class import ExitRow

LEARNING_RATE = 0.5


class NumpyLearner:
    """See `hiertk_edge.learner.Learner`; its checkpoint is an .npz file."""

    def __init__(
        self,
        manifest: Manifest,
        checkpoint: Path | None = None,
        learning_rate: float = LEARNING_RATE,
    ) -> None:
        self._manifest = manifest
        self._learning_rate = learning_rate
        channels, height, _ = manifest.features.shape
        self._patch = manifest.input.size // height
        generator = np.random.default_rng(7)
        size = 3 * self._patch**2
        self._projection = generator.normal(0, size**-0.5, (size, channels)).astype(np.float32)
        self.weights = np.zeros((channels, manifest.classes.capacity), np.float32)
        self.bias = np.zeros(manifest.classes.capacity, np.float32)
        self._slots = ExitSlots(manifest.classes, None)
        self._edge_step = 0
        if checkpoint is not None:
            self._load(checkpoint)

    @property
    def edge_step(self) -> int:
        return self._edge_step

    @property
    def learning_rate(self) -> float:
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self._learning_rate = rate

    @property
    def fixed_batch_size(self) -> int | None:
        return None

    @property
    def open_slots(self) -> frozenset[int]:
        return self._slots.open

    def exit_rows(self, slots: Sequence[int]) -> list[ExitRow]:
        for slot in slots:
            self._slots.check(slot)
        return [ExitRow(self.weights[:, slot].copy(), float(self.bias[slot])) for slot in slots]

    def open_slot(self, slot: int, row: ExitRow | None = None) -> None:
        self._slots.check(slot)
        if row is not None:
            check_row(row, len(self.weights))
            self.weights[:, slot], self.bias[slot] = row.weight, row.bias
        self._slots.add(slot)

    def close_slot(self, slot: int) -> None:
        self._slots.check(slot)
        self._slots.remove(slot)

    def adjust(self, prior: Float32Array | None) -> None:
        self._slots.adjust(prior)

    def can_train(self, samples: int) -> bool:
        return samples > 0

    def step(self, images: Float32Array, labels: SlotArray) -> StepResult:
        self._slots.check_labels(labels, len(images))
        result, pooled = self._forward(images, self._slots.training_bias)
        slope = _softmax(result.logits)
        slope[np.arange(len(labels)), labels] -= 1
        slope /= np.float32(len(labels))
        self.weights -= np.float32(self._learning_rate) * (pooled.T @ slope)
        self._edge_step += 1
        return self._slots.unadjusted(_with_loss(result, labels), labels)

    def evaluate(self, images: Float32Array, labels: SlotArray | None = None) -> StepResult:
        result, _ = self._forward(images, self._slots.evaluation_bias)
        if labels is None:
            return result
        self._slots.check_labels(labels, len(images))
        return _with_loss(result, labels)

    def save(self, path: Path) -> None:
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                weights=self.weights,
                bias=self.bias,
                edge_step=self._edge_step,
                open_slots=self._slots.text(),
            )

    def _load(self, path: Path) -> None:
        try:
            with np.load(path) as saved:
                self.weights, self.bias = saved["weights"], saved["bias"]
                self._edge_step = int(saved["edge_step"])
                self._slots = ExitSlots(self._manifest.classes, str(saved["open_slots"]))
        except (OSError, ValueError, KeyError) as error:
            raise BundleError(f"{path}: {error}") from error

    def _forward(
        self, images: Float32Array, class_bias: Float32Array
    ) -> tuple[StepResult, Float32Array]:
        patches = self._patches(images)
        features: Float32Array = np.maximum(patches @ self._projection, 0).transpose(0, 3, 1, 2)
        pooled: Float32Array = features.mean(axis=(2, 3))
        logits = (pooled @ self.weights + self.bias + class_bias).astype(np.float32)
        return StepResult(math.nan, np.ascontiguousarray(features), logits), pooled

    def _patches(self, images: Float32Array) -> Float32Array:
        count, channels, size, _ = images.shape
        edge, cells = self._patch, size // self._patch
        split = images.reshape(count, channels, cells, edge, cells, edge)
        patches: Float32Array = split.transpose(0, 2, 4, 1, 3, 5).reshape(count, cells, cells, -1)
        return patches


def _softmax(logits: Float32Array) -> Float32Array:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Float32Array = raised / raised.sum(axis=1, keepdims=True)
    return probabilities


def _with_loss(result: StepResult, labels: SlotArray) -> StepResult:
    of_labels = _softmax(result.logits)[np.arange(len(labels)), labels]
    return replace(result, loss=float(-np.log(of_labels + 1e-30).mean()))


def open_numpy_learner(bundle: Bundle, _threads: int, checkpoint: Path | None) -> NumpyLearner:
    return NumpyLearner(bundle.manifest, checkpoint)
