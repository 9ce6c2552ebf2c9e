"""The trainer: follows the log, trains the cloud partition, replays, evaluates, checkpoints.

What happens at a turn depends on the log and the state before it only, so that a run resumed
from a checkpoint gives the same weights, bit for bit, as one that was never interrupted.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from hiertk_protocol.class_map import exported_map
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.messages import Batch, SlotArray

from hiertk_cloud.classes.history import ClassHistory
from hiertk_cloud.training.again import Again
from hiertk_cloud.training.batches import BatchSource, LeftOut, NextBatch
from hiertk_cloud.training.checkpoint import save_checkpoint
from hiertk_cloud.training.class_tally import ClassTally
from hiertk_cloud.training.confusion import ConfusionRounds
from hiertk_cloud.training.learner import CloudLearner, Learned, Skipped
from hiertk_cloud.training.measures import Measures, NewestSteps
from hiertk_cloud.training.measuring import Measuring
from hiertk_cloud.training.memory import Memory
from hiertk_cloud.training.progress import DeviceProgress, Progress
from hiertk_cloud.training.replay import known_batches
from hiertk_cloud.training.resuming import check_age, load
from hiertk_cloud.training.samples import KnownSamples, Labelled, known_samples
from hiertk_cloud.training.trainer_settings import TrainerSettings

__all__ = ["Measures", "Trainer", "TrainerSettings"]

_SEED_STRIDE = 1 << 40


class Trainer:
    """Consumes the log turn by turn.

    One thread at a time, but any thread may read `progress`, `measures`, `confusion`, `tally` and
    `saved`.
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
        history: Callable[[], ClassHistory] | None = None,
        give_turns: Callable[[], int],
        on_skip: Callable[[int, str], None],
    ) -> None:
        """Go on from the checkpoint, if there is one.

        start: go on from here, with the learner as it is, and read no checkpoint. history: the
        class map's versions until now; without it, those of the export are all classes.
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
        self._steps = NewestSteps()
        self._measuring = Measuring(learner, self._meaning)
        self.tally = ClassTally()
        only = ClassHistory((exported_map(learner.manifest.classes),))
        self._history = history or (lambda: only)
        self._again = Again(source, settings)
        self._memory = Memory(source, learner.manifest, settings, self._meaning)
        if start is None:
            start = load(checkpoint, bundle_id, learner, self._memory)
        newest = self._history().newest.version
        check_age(checkpoint, start, last_turn=source.last_turn(), newest_map=newest)
        self.progress = start.model_copy(update={"open_slots": learner.open_slots})
        self._saved = self.progress

    @property
    def measures(self) -> Measures:
        """Means over the newest training batches."""
        return self._steps.measures

    @property
    def confusion(self) -> ConfusionRounds:
        """What both exits took for what, on held-out batches."""
        return self._measuring.confusion

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
            return True
        try:
            self._follow_classes(found.batch.class_map_version)
            known = known_samples(found.batch, self._meaning)
        except ProtocolError as error:
            self._skip(found.turn, found.batch.key.device, str(error))
            return True
        if found.train_number is None:
            self._evaluate(found, known)
        else:
            self._train(found, found.train_number, known)
        return True

    def again(self) -> bool:
        """With nothing new in the log, go over it again, as the schedule says.

        Returns whether there was anything left to do. Raises StorageError.
        """
        if self._settings.schedule != "replay":
            return False
        held_out = self._again.to_measure(self.progress)
        if held_out is not None:
            found = self._source.at_turn(held_out.turn)
            if isinstance(found, NextBatch):
                known = known_samples(found.batch, self._meaning)
                self._measure(found.batch, known, is_again=held_out.is_first)
            return True
        numbers = self._again.to_train(self.progress)
        if numbers:
            self._train_again(numbers)
        return bool(numbers)

    def save(self) -> None:
        """Write a checkpoint, unless the newest one says the same. Raises StorageError."""
        if self.progress != self._saved:
            save_checkpoint(
                self._checkpoint,
                self._bundle_id,
                self.learner,
                self.progress,
                self._memory.tensors(),
            )
            self._saved = self.progress

    def _next(self) -> NextBatch | LeftOut | None:
        turn = self.progress.turn + 1
        found = self._source.at_turn(turn)
        if found is None and self._give_turns():
            found = self._source.at_turn(turn)
        return found

    def _meaning(self, batch: Batch, labels: SlotArray) -> SlotArray:
        return self._history().translate(
            labels,
            batch.new_classes,
            made=batch.class_map_version,
            now=self.progress.class_map_version,
        )

    def _follow_classes(self, version: int) -> None:
        """Go on to a newer class map: close the slots of classes that left them, relabel the rest.

        Nothing is read from disk on the way, so that all of it is done or nothing. Raises
        ProtocolError for a version that was never made.
        """
        before = self.progress.class_map_version
        if version <= before:
            return
        history = self._history()

        def into(slots: SlotArray) -> SlotArray:
            return history.translate(slots, (), made=before, now=version)

        slots = np.array(self.learner.open_slots, np.int64)
        left = slots[into(slots) != slots]
        self.learner.slots.close(left.tolist(), seed=version)
        self._memory.translate(into)
        self.progress = self.progress.model_copy(
            update={"class_map_version": version, "open_slots": self.learner.open_slots}
        )

    def _train(self, found: NextBatch, train_number: int, known: KnownSamples) -> None:
        batch, device = found.batch, found.batch.key.device
        if not len(known.rows):
            reason = "none of its samples has a class"
            self._skip(found.turn, device, reason, left_out=len(batch.labels))
            return
        # Dropout draws from this; seeded per turn, it needs no place in the checkpoint.
        torch.default_generator.manual_seed(self._settings.seed * _SEED_STRIDE + found.turn)
        replayed = self._memory.draw(train_number, len(known.rows))
        outcome = self._learn(known, replayed)
        if isinstance(outcome, Skipped) and replayed:
            replayed = []  # a replayed one may have been at fault
            outcome = self._learn(known, replayed)
        left_out = len(batch.labels) - len(known.rows)
        if isinstance(outcome, Skipped):
            self._skip(found.turn, device, outcome.reason, left_out=left_out)
            return
        self._memory.add(train_number, batch, known, replayed)
        self._steps.add(outcome)
        self.tally.add(known.labels, self._history().at(self.progress.class_map_version))
        self._move_on(
            found.turn,
            device,
            self.progress.of(device).learned(outcome.loss, batch.early_exit_loss),
            left_out=left_out,
            cloud_step=self.progress.cloud_step + 1,
            trained_total=self.progress.trained_total + 1,
        )

    def _learn(self, new: Labelled, replayed: Sequence[Labelled]) -> Learned | Skipped:
        start = time.perf_counter()
        outcome = self.learner.learn(
            new,
            replayed,
            adjustment=self._memory.adjustment((new, *replayed)),
            imprint=self._settings.imprint,
        )
        self._steps.took(time.perf_counter() - start)
        return outcome

    def _skip(self, turn: int, device: str, reason: str, *, left_out: int = 0) -> None:
        self._on_skip(turn, reason)
        before = self.progress.of(device)
        self._move_on(
            turn,
            device,
            before.model_copy(update={"skipped_total": before.skipped_total + 1}),
            left_out=left_out,
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

    def _train_again(self, numbers: Sequence[int]) -> None:
        replayed_total = self.progress.replayed_total + len(numbers)
        seed = self._settings.seed * _SEED_STRIDE + _SEED_STRIDE // 2 + replayed_total
        torch.default_generator.manual_seed(seed)
        drawn = known_batches(numbers, self._source.training_batch, self._meaning)
        steps = 0
        if drawn and isinstance(self._learn(drawn[0], drawn[1:]), Learned):
            self._memory.count(drawn)
            steps = 1
        self.progress = self.progress.model_copy(
            update={
                "replayed_total": replayed_total,
                "cloud_step": self.progress.cloud_step + steps,
                "open_slots": self.learner.open_slots,
            }
        )

    def _evaluate(self, found: NextBatch, known: KnownSamples) -> None:
        device = found.batch.key.device
        left_out = len(found.batch.labels) - len(known.labels)
        self._measure(found.batch, known)
        self._move_on(found.turn, device, self.progress.of(device), left_out=left_out)

    def _measure(self, batch: Batch, known: KnownSamples, *, is_again: bool = False) -> None:
        classes = self._history().at(self.progress.class_map_version)
        self.progress = self._measuring.take(
            self.progress, batch, known, classes, is_again=is_again
        )

    def _move_on(
        self, turn: int, device: str, now: DeviceProgress, *, left_out: int = 0, **totals: int
    ) -> None:
        before = self.progress
        if left_out:
            now = now.model_copy(update={"left_out_total": now.left_out_total + left_out})
        self.progress = before.model_copy(
            update={
                "turn": turn,
                "devices": {**before.devices, device: now} if device else before.devices,
                "open_slots": self.learner.open_slots,
                "left_out_total": before.left_out_total + left_out,
                **totals,
            }
        )
