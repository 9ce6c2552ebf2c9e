"""Batches from the rehearsal memory: new images as they come, mixed with kept ones."""

import time
from dataclasses import dataclass

from hiertk_protocol.errors import StorageError
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.manifest import InputInfo

from hiertk_edge.images import Float32Array, normalize
from hiertk_edge.learner import Learner, SlotArray
from hiertk_edge.rehearsal import MixedBatch, RehearsalMemory

_RETRY_S = 10.0


@dataclass(frozen=True)
class Mix:
    """What a batch is made of.

    batch_size: images. rehearsed: the share of it that was seen before. wait_s: how long new images
    wait for a full batch.
    """

    batch_size: int
    rehearsed: float = 0.5
    wait_s: float = 30.0

    @property
    def fresh(self) -> int:
        """New images in a full batch."""
        return max(1, round(self.batch_size * (1 - self.rehearsed)))


@dataclass(frozen=True)
class Lesson:
    """What one step trains on. The first `fresh` images are new."""

    batch: MixedBatch
    images: Float32Array

    @property
    def labels(self) -> SlotArray:
        """The class slots, (N,) int64."""
        return self.batch.slots

    @property
    def fresh(self) -> int:
        """Number of new images."""
        return self.batch.fresh


class RehearsalFeed:
    """Says when there is enough for a step, and what it trains on."""

    def __init__(
        self,
        memory: RehearsalMemory,
        mix: Mix,
        *,
        learner: Learner,
        info: InputInfo,
        problems: Problems,
    ) -> None:
        self._memory = memory
        self._mix = mix
        self._learner = learner
        self._info = info
        self._problems = problems
        self._waiting_since: float | None = None
        self._not_before = 0.0
        self._is_too_small = False

    def next(self) -> Lesson | None:
        """Return the next lesson; None as long as too few new images wait, and not for long yet."""
        if not self._is_enough(time.monotonic()):
            return None
        try:
            batch = self._memory.next_batch(
                self._mix.batch_size, rehearsed_share=self._mix.rehearsed
            )
        except StorageError as error:
            self._postpone(error)
            return None
        # Batch statistics need two images at least, and some programs a full batch.
        count = 0 if batch is None else len(batch.slots)
        self._is_too_small = count < 2 or not self._learner.can_train(count)
        if batch is None or self._is_too_small:
            return None
        return Lesson(batch, normalize(batch.pixels, self._info))

    def done(self, lesson: Lesson) -> None:
        """Take the new images of a lesson out of the waiting room."""
        try:
            self._memory.trained(lesson.batch)
        except StorageError as error:
            self._postpone(error)  # else the same images would train again at once
            return
        self._waiting_since = None
        self._problems.end("rehearsal memory", "the rehearsal memory is written again")

    def wait(self, timeout_s: float) -> None:
        """Wait for enough new images."""
        if self._is_too_small or time.monotonic() < self._not_before:
            time.sleep(timeout_s)  # those that are there are not enough, or not to be had now
        else:
            self._memory.wait(timeout_s, at_least=self._mix.fresh)

    def _is_enough(self, now: float) -> bool:
        waiting = self._memory.waiting
        if not waiting or now < self._not_before:
            return False
        if self._waiting_since is None:
            self._waiting_since = now
        return waiting >= self._mix.fresh or now - self._waiting_since >= self._mix.wait_s

    def _postpone(self, error: StorageError) -> None:
        self._not_before = time.monotonic() + _RETRY_S
        self._problems.begin("rehearsal memory", f"{error}: new images wait meanwhile")
