"""Batches of what streams show: new images as they come, mixed with images seen before.

Those come from the rehearsal memory, and from the data set where there is one, so that a class
that is shown today does not displace those of yesterday.
"""

import time
from dataclasses import dataclass
from random import Random

import numpy as np
from hiertk_protocol.errors import StorageError
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.manifest import InputInfo

from hiertk_edge.images import Float32Array, normalize
from hiertk_edge.learner import Learner, SlotArray
from hiertk_edge.rehearsal import MixedBatch, RehearsalMemory, Wanted
from hiertk_edge.sources import DataSet

_RETRY_S = 10.0
TAUGHT = 200  # images of a class, after which it is none of the new ones any more
_MOST_OWED = 100


@dataclass(frozen=True)
class Mix:
    """What a batch is made of.

    batch_size: images. rehearsed: the share of it that was seen before. wait_s: how long new images
    wait for a full batch. practice: steps on images seen before that follow one on a new class.
    """

    batch_size: int
    rehearsed: float = 0.5
    wait_s: float = 10.0
    practice: int = 3


@dataclass(frozen=True)
class Lesson:
    """What one step trains on: (N, 3, size, size) float32, and class slots (N,) int64.

    batch: the memory's part of it. sent: the features of so many first ones are sent.
    """

    batch: MixedBatch
    images: Float32Array
    labels: SlotArray
    sent: int


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
        exported: int,
        data: DataSet | None = None,
    ) -> None:
        """Prepare. exported: classes of the bundle. data: what was trained on, to rehearse."""
        self._memory = memory
        self._mix = mix
        self._learner = learner
        self._info = info
        self._problems = problems
        self._data = data
        self._exported = exported
        self._owed = 0  # steps of practice
        self._waiting_since: float | None = None
        self._not_before = 0.0
        self._is_too_small = False

    def next(self) -> Lesson | None:
        """Return the next lesson; None as long as too few new images wait, and not for long yet."""
        try:
            if self._is_enough(time.monotonic()):
                batch = self._memory.next_batch(self._wanted())
            else:
                batch = self._practice()
        except StorageError as error:
            self._postpone(error)
            return None
        lesson = None if batch is None else self._filled(batch)
        # Batch statistics need two images at least, and some programs a full batch.
        count = 0 if lesson is None else len(lesson.labels)
        self._is_too_small = count == 1 or (count > 1 and not self._learner.can_train(count))
        return None if self._is_too_small or not count else lesson

    def done(self, lesson: Lesson) -> None:
        """Take the new images of a lesson out of the waiting room."""
        if not lesson.batch.fresh:
            return
        try:
            self._memory.trained(lesson.batch)
        except StorageError as error:
            self._postpone(error)  # else the same images would train again at once
            return
        self._owe_practice(lesson.batch)
        self._waiting_since = None
        self._problems.end("rehearsal memory", "the rehearsal memory is written again")

    def wait(self, timeout_s: float) -> None:
        """Wait for enough new images."""
        if self._is_too_small or time.monotonic() < self._not_before:
            time.sleep(timeout_s)  # those that are there are not enough, or not to be had now
        else:
            self._memory.wait(timeout_s, self._wanted())

    def _practice(self) -> MixedBatch | None:
        """Return images seen before, if they are to settle what a new class has upset."""
        if not self._owed or time.monotonic() < self._not_before:
            return None
        self._owed -= 1
        return self._memory.kept_batch(self._wanted(), self._learner.edge_step)

    def _owe_practice(self, batch: MixedBatch) -> None:
        new = {slot for slot in batch.slots[: batch.fresh].tolist() if slot >= self._exported}
        counts = self._memory.counts if new else {}
        if any(counts[slot].seen <= TAUGHT for slot in new if slot in counts):
            self._owed = min(self._owed + self._mix.practice, _MOST_OWED)

    def _wanted(self) -> Wanted:
        mix = self._mix
        elsewhere = frozenset[int]()
        if self._data is not None and mix.rehearsed:
            elsewhere = self._data.slots()
        return Wanted(mix.batch_size, mix.rehearsed, elsewhere)

    def _filled(self, batch: MixedBatch) -> Lesson:
        """Return the lesson that a batch is after the data set has filled it up.

        A step always sends the features of as many images as a full one has new ones. Where new
        ones are fewer, others fill up: a cloud that saw one class alone in the newest features
        would take what is new about them for that class.
        """
        images = normalize(batch.pixels, self._info)
        labels = batch.slots
        wanted = self._wanted()
        missing = wanted.size - len(labels)
        if self._data is not None and wanted.elsewhere and missing > 0:
            # Drawn from what the batch is: the same again after a crash.
            more = self._data.drawn(missing, Random(f"{batch.ids.tolist()}"))
            fresh = batch.fresh
            images = np.concatenate([images[:fresh], more.images, images[fresh:]])
            labels = np.concatenate([labels[:fresh], more.labels, labels[fresh:]])
        sent = min(len(labels), max(batch.fresh, wanted.fresh))
        return Lesson(batch, images, labels, sent)

    def _is_enough(self, now: float) -> bool:
        if not self._memory.waiting or now < self._not_before:
            return False
        if self._waiting_since is None:
            self._waiting_since = now
        waited = now - self._waiting_since >= self._mix.wait_s
        return waited or self._memory.is_ready(self._wanted())

    def _postpone(self, error: StorageError) -> None:
        self._not_before = time.monotonic() + _RETRY_S
        self._problems.begin("rehearsal memory", f"{error}: new images wait meanwhile")
