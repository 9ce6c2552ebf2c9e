"""A learner in numpy: a fixed random projection of patches and a linear early exit, by SGD."""

from pathlib import Path

import numpy as np
from hiertk_edge.learner import Float32Array, SlotArray, StepResult, check_labels
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import BundleError
from hiertk_protocol.files import atomic_file
from hiertk_protocol.manifest import Manifest

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

    def can_train(self, samples: int) -> bool:
        return samples > 0

    def step(self, images: Float32Array, labels: SlotArray) -> StepResult:
        result, pooled, slope = self._forward(images, labels)
        self.weights -= np.float32(self._learning_rate) * (pooled.T @ slope)
        self._edge_step += 1
        return result

    def evaluate(self, images: Float32Array, labels: SlotArray) -> StepResult:
        return self._forward(images, labels)[0]

    def save(self, path: Path) -> None:
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, weights=self.weights, edge_step=self._edge_step)

    def _load(self, path: Path) -> None:
        try:
            with np.load(path) as saved:
                self.weights = saved["weights"]
                self._edge_step = int(saved["edge_step"])
        except (OSError, ValueError, KeyError) as error:
            raise BundleError(f"{path}: {error}") from error

    def _forward(
        self, images: Float32Array, labels: SlotArray
    ) -> tuple[StepResult, Float32Array, Float32Array]:
        count = len(images)
        check_labels(labels, count, len(self._manifest.classes.names))
        patches = self._patches(images)
        features: Float32Array = np.maximum(patches @ self._projection, 0).transpose(0, 3, 1, 2)
        pooled = features.mean(axis=(2, 3))
        logits = pooled @ self.weights + self._manifest.classes.bias()
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        slope = raised / raised.sum(axis=1, keepdims=True)
        loss = float(-np.log(slope[np.arange(count), labels] + 1e-30).mean())
        slope[np.arange(count), labels] -= 1
        result = StepResult(loss, np.ascontiguousarray(features), logits.astype(np.float32))
        return result, pooled, slope / np.float32(count)

    def _patches(self, images: Float32Array) -> Float32Array:
        count, channels, size, _ = images.shape
        edge, cells = self._patch, size // self._patch
        split = images.reshape(count, channels, cells, edge, cells, edge)
        patches: Float32Array = split.transpose(0, 2, 4, 1, 3, 5).reshape(count, cells, cells, -1)
        return patches


def open_numpy_learner(bundle: Bundle, _threads: int, checkpoint: Path | None) -> NumpyLearner:
    return NumpyLearner(bundle.manifest, checkpoint)
