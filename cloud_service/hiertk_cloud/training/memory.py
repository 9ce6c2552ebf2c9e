"""What the trainer remembers of earlier batches beside weights: samples to replay, classes' counts.

Both are part of the checkpoint, and follow the class map.
"""

from collections.abc import Callable, Sequence

import numpy as np
from hiertk_protocol.errors import StorageError
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.messages import Batch, SlotArray
from hiertk_protocol.new_class import Float32Array, log_prior
from torch import Tensor

from hiertk_cloud.training.batches import BatchSource
from hiertk_cloud.training.recent_labels import RecentLabels
from hiertk_cloud.training.replay import BalancedReplay, BatchReplay, Replay, reservoir_for
from hiertk_cloud.training.samples import KnownSamples, Labelled, Reading
from hiertk_cloud.training.trainer_settings import TrainerSettings


class Memory:
    """Of one trainer. read: gives labels of an earlier batch their meaning now."""

    def __init__(
        self, source: BatchSource, manifest: Manifest, settings: TrainerSettings, read: Reading
    ) -> None:
        self._slots = manifest.classes.capacity
        self._strength = settings.logit_adjustment
        self._recent = RecentLabels(self._slots)
        self._reservoir = reservoir_for(manifest)
        self._is_balanced = settings.replay_balance == "class" and settings.replay > 0
        self._replay: Replay = (
            BalancedReplay(source, self._reservoir, settings, manifest.engine.batch_size)
            if self._is_balanced
            else BatchReplay(source, read, settings)
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint holds, in the memory that is in use."""
        return {**self._recent.tensors(), **self._reservoir.tensors()}

    def check(self) -> None:
        """Check what was read from a checkpoint. Raises StorageError."""
        if not (self._recent.is_sound() and self._reservoir.is_sound(self._slots)):
            raise StorageError("what it remembers of earlier batches is damaged")
        if not self._is_balanced:
            self._reservoir.clear()  # it is not going to follow the class map

    def draw(self, train_number: int, samples: int) -> list[Labelled]:
        """Return what joins a step on a batch of so many samples. Raises StorageError."""
        return self._replay.draw(train_number, samples)

    def adjustment(self, batches: Sequence[Labelled]) -> Float32Array | None:
        """Return what a step on these adds to its logits, (class slots,); None for nothing."""
        if not self._strength:
            return None
        return log_prior(self._recent.after(one.labels for one in batches), self._strength)

    def add(
        self, train_number: int, batch: Batch, new: KnownSamples, replayed: Sequence[Labelled]
    ) -> None:
        """Take in a batch that was trained on, together with those that joined it."""
        self.count((new, *replayed))
        self._replay.add(train_number, batch, new)

    def count(self, batches: Sequence[Labelled]) -> None:
        """Count the classes of a step."""
        self._recent.keep(self._recent.after(one.labels for one in batches))

    def translate(self, into: Callable[[SlotArray], SlotArray]) -> None:
        """Follow the class map: slots are `into(slots)` now."""
        self._recent.move(into(np.arange(self._slots)))
        self._replay.translate(into)
