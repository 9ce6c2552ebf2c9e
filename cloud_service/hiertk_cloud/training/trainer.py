"""The trainer: follows the log, trains the cloud partition, replays, evaluates, checkpoints.

What happens at a turn depends on the log and the state before it only, so that a run resumed
from a checkpoint gives the same weights, bit for bit, as one that was never interrupted.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import torch
from hiertk_protocol.errors import StorageError
from hiertk_protocol.messages import Batch

from hiertk_cloud.log import DamagedEntryError
from hiertk_cloud.training.batches import BatchSource, LeftOut, NextBatch, draw_replay
from hiertk_cloud.training.checkpoint import load_checkpoint, save_checkpoint
from hiertk_cloud.training.confusion import ConfusionRounds
from hiertk_cloud.training.held_out import DeviceRounds, Round
from hiertk_cloud.training.learner import CloudLearner, Learned, Skipped
from hiertk_cloud.training.progress import DeviceProgress, Progress

_NEWEST_STEPS = 50
_SEED_STRIDE = 1 << 40


@dataclass(frozen=True)
class TrainerSettings:
    """How the cloud trains.

    replay: earlier batches that join each new one in its step, drawn from the replay_window newest
    training batches. checkpoint_every: cloud steps.
    """

    replay: int = 1
    replay_window: int = 4096
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
    """Consumes the log turn by turn.

    One thread at a time, but any thread may read `progress`, `measures`, `confusion` and `saved`.
    """

    def __init__(
        self,
        learner: CloudLearner,
        source: BatchSource,
        settings: TrainerSettings,
        *,
        checkpoint: Path,
        bundle_id: bytes,
        start: Progress | None = None,
        give_turns: Callable[[], int],
        on_skip: Callable[[int, str], None],
    ) -> None:
        """Go on from the checkpoint, if there is one.

        start: go on from here, with the learner as it is, and read no checkpoint.
        give_turns: gives batches that wait in the log their turns and returns how many. on_skip:
        gets the turn of a batch that is skipped, and why.

        Raises ConfigError if the checkpoint belongs to another bundle, StorageError if it is
        damaged or ahead of the log.
        """
        self.learner = learner
        self._source = source
        self._settings = settings
        self._checkpoint = checkpoint
        self._bundle_id = bundle_id
        self._give_turns = give_turns
        self._on_skip = on_skip
        self._newest: deque[Learned] = deque(maxlen=_NEWEST_STEPS)
        self._step_ms: deque[float] = deque(maxlen=_NEWEST_STEPS)
        self.measures = Measures()
        self.confusion = ConfusionRounds()
        if start is None:
            start = load_checkpoint(checkpoint, bundle_id, learner) or Progress()
        self.progress = start
        self._saved = self.progress
        if self.progress.turn > source.last_turn():
            raise StorageError(
                f"{checkpoint} has consumed {self.progress.turn} batches, the log beside it "
                f"has given {source.last_turn()} their turn: restore both from the same time"
            )

    @property
    def saved(self) -> Progress:
        """The progress that the checkpoint on disk names."""
        return self._saved

    @property
    def save_is_due(self) -> bool:
        """Whether so many steps were done since the newest checkpoint that another is due."""
        done = self.progress.cloud_step - self._saved.cloud_step
        return done >= self._settings.checkpoint_every

    def advance(self) -> bool:
        """Consume the next batch of the log; return whether there was one. Raises StorageError."""
        found = self._next()
        if found is None:
            return False
        if isinstance(found, LeftOut):
            self._leave_out(found)
        elif found.train_number is None:
            self._evaluate(found)
        else:
            self._train(found, found.train_number)
        return True

    def save(self) -> None:
        """Write a checkpoint, unless the newest one says the same. Raises StorageError."""
        if self.progress != self._saved:
            save_checkpoint(self._checkpoint, self._bundle_id, self.learner, self.progress)
            self._saved = self.progress

    def _next(self) -> NextBatch | LeftOut | None:
        turn = self.progress.turn + 1
        found = self._source.at_turn(turn)
        if found is None and self._give_turns():
            found = self._source.at_turn(turn)
        return found

    def _train(self, found: NextBatch, train_number: int) -> None:
        # Dropout draws from this; seeded per turn, it needs no place in the checkpoint.
        torch.default_generator.manual_seed(self._settings.seed * _SEED_STRIDE + found.turn)
        replayed = self._replay(train_number)
        outcome = self._learn(found.batch, replayed)
        if isinstance(outcome, Skipped) and replayed:
            outcome = self._learn(found.batch, [])  # a replayed one may have been at fault
        if isinstance(outcome, Skipped):
            self._skip(found.turn, found.batch.key.device, outcome.reason)
            return
        self._measure(outcome)
        self._move_on(
            found.turn,
            found.batch.key.device,
            self.progress.of(found.batch.key.device).learned(
                outcome.loss, found.batch.early_exit_loss
            ),
            cloud_step=self.progress.cloud_step + 1,
            trained_total=self.progress.trained_total + 1,
        )

    def _replay(self, train_number: int) -> list[Batch]:
        settings = self._settings
        numbers = draw_replay(train_number, settings.replay, settings.seed, settings.replay_window)
        batches = []
        for number in numbers:
            with suppress(DamagedEntryError):  # counted at its own turn
                batches.append(self._source.training_batch(number))
        return batches

    def _learn(self, new: Batch, replayed: Sequence[Batch]) -> Learned | Skipped:
        start = time.perf_counter()
        outcome = self.learner.learn(new, replayed)
        self._step_ms.append(1e3 * (time.perf_counter() - start))
        return outcome

    def _measure(self, outcome: Learned) -> None:
        self._newest.append(outcome)
        self.measures = Measures(
            loss=fmean(one.loss for one in self._newest),
            accuracy=fmean(one.accuracy for one in self._newest),
            step_ms=median(self._step_ms),
        )

    def _skip(self, turn: int, device: str, reason: str) -> None:
        self._on_skip(turn, reason)
        before = self.progress.of(device)
        self._move_on(
            turn,
            device,
            before.model_copy(update={"skipped_total": before.skipped_total + 1}),
            skipped_total=self.progress.skipped_total + 1,
        )

    def _leave_out(self, found: LeftOut) -> None:
        if found.damage:
            self._skip(found.turn, found.device, found.damage)
            return
        before = self.progress.of(found.device)
        self._move_on(
            found.turn,
            found.device,
            before.model_copy(update={"stale_total": before.stale_total + 1}),
            stale_total=self.progress.stale_total + 1,
        )

    def _evaluate(self, found: NextBatch) -> None:
        batch = found.batch
        device = batch.key.device
        predictions = self.learner.predict(batch.features)
        part = Round(
            edge_step=batch.edge_step,
            samples=len(batch.labels),
            final_exit_correct=int((predictions == batch.labels).sum()),
            early_exit_correct=int((batch.early_exit == batch.labels).sum()),
        )
        before = self.progress.of(device)
        rounds = before.rounds.after(part) if before.rounds else DeviceRounds(newest=part)
        self.confusion.add(device, batch.edge_step, batch.labels, predictions)
        self._move_on(found.turn, device, before.model_copy(update={"rounds": rounds}))

    def _move_on(self, turn: int, device: str, now: DeviceProgress, **totals: int) -> None:
        devices = {**self.progress.devices, device: now} if device else self.progress.devices
        self.progress = self.progress.model_copy(
            update={"turn": turn, "devices": devices, **totals}
        )
