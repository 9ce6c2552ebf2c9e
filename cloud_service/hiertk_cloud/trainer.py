"""The trainer: follows the log, trains the cloud partition, replays, evaluates, checkpoints.

What happens at a position depends on the log and the state before it only, so that a run resumed
from a checkpoint gives the same weights, bit for bit, as one that was never interrupted.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import torch
from hiertk_protocol.errors import StorageError
from hiertk_protocol.messages import Batch

from hiertk_cloud.batches import BatchSource, NextBatch, draw_replay
from hiertk_cloud.checkpoint import load_checkpoint, save_checkpoint
from hiertk_cloud.held_out import DeviceRounds, Round
from hiertk_cloud.learner import CloudLearner, Learned, Skipped
from hiertk_cloud.progress import Progress

_NEWEST_STEPS = 50
_SEED_STRIDE = 1 << 40


@dataclass(frozen=True)
class TrainerSettings:
    """How the cloud trains.

    replay: earlier batches that join each new one in its step. checkpoint_every: cloud steps.
    """

    replay: int = 1
    checkpoint_every: int = 200
    seed: int = 0


@dataclass(frozen=True)
class Measures:
    """Means over the newest training batches, before their step; NaN before the first one.

    step_ms: the median over the newest cloud steps.
    """

    loss: float = math.nan
    accuracy: float = math.nan
    step_ms: float = math.nan


class Trainer:
    """Consumes the log batch by batch; one thread at a time, `progress` and `measures` any."""

    def __init__(
        self,
        learner: CloudLearner,
        source: BatchSource,
        settings: TrainerSettings,
        *,
        checkpoint: Path,
        bundle_id: bytes,
        on_skip: Callable[[int, str], None],
    ) -> None:
        """Go on from the checkpoint, if there is one.

        Raises ConfigError if it belongs to another bundle, StorageError if it is damaged or ahead
        of the log.
        """
        self._learner = learner
        self._source = source
        self._settings = settings
        self._checkpoint = checkpoint
        self._bundle_id = bundle_id
        self._on_skip = on_skip
        self._newest: deque[Learned] = deque(maxlen=_NEWEST_STEPS)
        self._step_ms: deque[float] = deque(maxlen=_NEWEST_STEPS)
        self.measures = Measures()
        self.progress = load_checkpoint(checkpoint, bundle_id, learner) or Progress()
        self._saved = self.progress
        if self.progress.position > source.last_position():
            raise StorageError(
                f"{checkpoint} has consumed {self.progress.position} batches, the log beside it "
                f"holds {source.last_position()}: restore both from the same time"
            )

    def advance(self) -> bool:
        """Consume the next batch of the log; return whether there was one. Raises StorageError."""
        found = self._source.first_after(self.progress.position)
        if found is None:
            return False
        if found.train_number is None:
            self._evaluate(found)
        else:
            self._train(found, found.train_number)
        if self.progress.cloud_step - self._saved.cloud_step >= self._settings.checkpoint_every:
            self.save()
        return True

    def save(self) -> None:
        """Write a checkpoint, unless the newest one says the same. Raises StorageError."""
        if self.progress != self._saved:
            save_checkpoint(self._checkpoint, self._bundle_id, self._learner, self.progress)
            self._saved = self.progress

    def _train(self, found: NextBatch, train_number: int) -> None:
        # Dropout draws from this; seeded per position, it needs no place in the checkpoint.
        torch.default_generator.manual_seed(self._settings.seed * _SEED_STRIDE + found.position)
        replayed = self._replay(train_number)
        outcome = self._learn(found.batch, replayed)
        if isinstance(outcome, Skipped) and replayed:
            outcome = self._learn(found.batch, [])  # a replayed one may have been at fault
        self._note(found.position, outcome)
        self.progress = self.progress.model_copy(
            update={
                "position": found.position,
                "cloud_step": self.progress.cloud_step + isinstance(outcome, Learned),
                "trained_total": self.progress.trained_total + isinstance(outcome, Learned),
                "skipped_total": self.progress.skipped_total + isinstance(outcome, Skipped),
            }
        )

    def _replay(self, train_number: int) -> list[Batch]:
        numbers = draw_replay(train_number, self._settings.replay, self._settings.seed)
        return [self._source.training_batch(number) for number in numbers]

    def _learn(self, new: Batch, replayed: Sequence[Batch]) -> Learned | Skipped:
        start = time.perf_counter()
        outcome = self._learner.learn(new, replayed)
        self._step_ms.append(1e3 * (time.perf_counter() - start))
        return outcome

    def _note(self, position: int, outcome: Learned | Skipped) -> None:
        if isinstance(outcome, Skipped):
            self._on_skip(position, outcome.reason)
            return
        self._newest.append(outcome)
        self.measures = Measures(
            loss=fmean(one.loss for one in self._newest),
            accuracy=fmean(one.accuracy for one in self._newest),
            step_ms=median(self._step_ms),
        )

    def _evaluate(self, found: NextBatch) -> None:
        batch = found.batch
        predictions = self._learner.predict(batch.features)
        part = Round(
            edge_step=batch.edge_step,
            samples=len(batch.labels),
            final_exit_correct=int((predictions == batch.labels).sum()),
            early_exit_correct=int((batch.early_exit == batch.labels).sum()),
        )
        device = batch.key.device
        before = self.progress.devices.get(device)
        rounds = before.after(part) if before else DeviceRounds(newest=part)
        self.progress = self.progress.model_copy(
            update={
                "position": found.position,
                "devices": {**self.progress.devices, device: rounds},
            }
        )
