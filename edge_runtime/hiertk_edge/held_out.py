"""Measuring the early exit on held-out images: its accuracy, and how far to trust it."""

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
from hiertk_protocol.hiertk_pb2 import FeatureBatch

from hiertk_edge.learner import Float32Array, Learner, SlotArray
from hiertk_edge.prediction.calibration import NOT_CALIBRATED, Calibration, calibrate
from hiertk_edge.progress import Progress
from hiertk_edge.spool import Cursor
from hiertk_edge.spooling import Spooling
from hiertk_edge.turns import Turns

CALIBRATION_SAMPLES = 2000

LabelledImages = tuple[Float32Array, SlotArray]


class HeldOut:
    """Goes over the held-out images; predictions take turns with it, batch by batch.

    batches: begins anew at each call, and yields images (N, 3, size, size) float32 and class slots.
    """

    def __init__(
        self,
        batches: Callable[[], Iterator[LabelledImages]],
        learner: Learner,
        turns: Turns,
        spooling: Spooling,
        progress: Progress,
    ) -> None:
        self._batches = batches
        self._learner = learner
        self._turns = turns
        self._spooling = spooling
        self._progress = progress

    def evaluate(self, cursor: Cursor, go_on: Callable[[], bool]) -> Calibration | None:
        """Measure on all images, and spool their features for the final exit.

        Returns the calibration; None if it was not to go on.
        """
        seen = _Seen()
        for images, labels in self._batches():
            with self._turns.turn():
                result = self._learner.evaluate(images, labels)
            self._spooling.put(
                result,
                labels,
                edge_step=self._learner.edge_step,
                purpose=FeatureBatch.HELD_OUT,
                cursor=cursor,
            )
            seen.add(result.logits, labels)
            if not go_on():
                return None
        return self._take(seen)

    def calibrate(self, batches: int) -> Calibration:
        """Measure on the first few batches, on this device alone."""
        seen = _Seen()
        for images, labels in islice(self._batches(), batches):
            with self._turns.turn():
                result = self._learner.evaluate(images, labels)
            seen.add(result.logits, labels)
        return self._take(seen)

    def _take(self, seen: "_Seen") -> Calibration:
        if not seen.samples:
            return NOT_CALIBRATED
        self._progress.held_out_accuracy = seen.right / seen.samples
        return calibrate(np.concatenate(seen.logits), np.concatenate(seen.labels))


class _Seen:
    """What the early exit said of the images, and what they are."""

    def __init__(self) -> None:
        self.samples = 0
        self.right = 0
        self.logits: list[Float32Array] = []
        self.labels: list[SlotArray] = []

    def add(self, logits: Float32Array, labels: SlotArray) -> None:
        if self.samples < CALIBRATION_SAMPLES:
            self.logits.append(logits.copy())
            self.labels.append(labels)
        self.samples += len(labels)
        self.right += int(np.sum(logits.argmax(axis=1) == labels))
