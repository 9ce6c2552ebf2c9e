"""What a trainer does while nothing new waits, under the schedule "replay": go over the log again.

A device that sends each image's features once gives the cloud one step on them. Here it takes more,
in passes over the `replay_window` newest training batches, each pass in an order of its own. After
each pass the devices' newest held-out rounds are measured again. What is trained on depends on the
log, the settings and the progress only; new batches go first, whenever they come.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from hiertk_cloud.training.batches import BatchSource
from hiertk_cloud.training.progress import Progress
from hiertk_cloud.training.trainer_settings import TrainerSettings

_ORDER = 2  # keeps the orders of passes apart from what else is drawn with the seed


@dataclass(frozen=True)
class HeldOutTurn:
    """A held-out batch to measure again. is_first: of its device's round."""

    device: str
    edge_step: int
    turn: int
    is_first: bool


class Again:
    """Says what to train on, and what to measure, again."""

    def __init__(self, source: BatchSource, settings: TrainerSettings) -> None:
        self._source = source
        self._settings = settings
        self._held_out: deque[HeldOutTurn] = deque()
        self._measured_at = 0

    def to_measure(self, progress: Progress) -> HeldOutTurn | None:
        """Return the next held-out batch, if a pass has ended. Raises StorageError."""
        if not self._held_out and self._is_due(progress):
            self._measured_at = progress.replayed_total
            self._held_out.extend(self._newest_rounds(progress))
        while self._held_out:
            found = self._held_out.popleft()
            rounds = progress.of(found.device).rounds
            if rounds is not None and rounds.newest.edge_step == found.edge_step:
                return found
        return None

    def to_train(self, progress: Progress) -> list[int]:
        """Return the numbers of the next step's batches; none if all passes are done.

        Raises StorageError.
        """
        newest, done, place = self._place(progress)
        if self._has_ended(done):
            return []
        size = min(newest, self._settings.replay_window)
        order = np.random.default_rng([self._settings.seed, _ORDER, done]).permutation(size)
        chosen = order[place : place + 1 + self._settings.replay]
        return [newest - int(back) for back in chosen]

    def _place(self, progress: Progress) -> tuple[int, int, int]:
        """Return the newest training batch's number, the passes done and the place in this one."""
        newest = self._source.newest_training(progress.turn)
        size = min(newest, self._settings.replay_window)
        done, place = divmod(progress.replayed_total, size) if size else (self._settings.passes, 0)
        return newest, done, place

    def _has_ended(self, done: int) -> bool:
        return done >= self._settings.passes - 1

    def _is_due(self, progress: Progress) -> bool:
        if progress.replayed_total in {0, self._measured_at}:
            return False
        _, done, place = self._place(progress)
        return place == 0 or self._has_ended(done)

    def _newest_rounds(self, progress: Progress) -> list[HeldOutTurn]:
        return [
            HeldOutTurn(device, rounds.newest.edge_step, turn, is_first=place == 0)
            for device, one in progress.devices.items()
            if (rounds := one.rounds) is not None
            for place, turn in enumerate(
                self._source.held_out_turns(device, rounds.newest.edge_step, progress.turn)
            )
        ]
