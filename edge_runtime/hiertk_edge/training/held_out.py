"""Measuring the early exit on held-out images: its accuracy, and how far to trust it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

import numpy as np
from hiertk_protocol.hiertk_pb2 import FeatureBatch

from hiertk_edge.learner import Float32Array, Learner, SlotArray, StepResult, evaluate_known
from hiertk_edge.prediction.calibration import NOT_CALIBRATED, Calibration, calibrate
from hiertk_edge.spool import Cursor
from hiertk_edge.training.progress import HeldOutClass, Progress
from hiertk_edge.training.spooling import Spooling
from hiertk_edge.training.turns import Turns

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
            known = self._measure(images, labels, seen)
            if known is not None:
                self._spooling.put(
                    known[0],
                    known[1],
                    edge_step=self._learner.edge_step,
                    purpose=FeatureBatch.HELD_OUT,
                    cursor=cursor,
                )
            if not go_on():
                return None
        return self._take(seen)

    def calibrate(self, batches: int) -> Calibration:
        """Measure on the first few batches, on this device alone."""
        seen = _Seen()
        for images, labels in islice(self._batches(), batches):
            self._measure(images, labels, seen)
        return self._take(seen)

    def move(self, moves: Mapping[int, int | None]) -> None:
        """Let what was measured follow the classes to other slots."""
        self._progress.move(moves)

    def _measure(
        self, images: Float32Array, labels: SlotArray, seen: "_Seen"
    ) -> tuple[StepResult, SlotArray] | None:
        with self._turns.turn():
            known = evaluate_known(self._learner, images, labels)
        if known is not None:
            seen.add(known[0].logits, known[1])
        return known

    def _take(self, seen: "_Seen") -> Calibration:
        if not seen.samples:
            return NOT_CALIBRATED
        self._progress.held_out_accuracy = seen.right / seen.samples
        self._progress.held_out_classes = {
            slot: HeldOutClass(seen.right_of[slot], samples) for slot, samples in seen.of.items()
        }
        return calibrate(np.concatenate(seen.logits), np.concatenate(seen.labels))


class _Seen:
    """What the early exit said of the images, and what they are."""

    def __init__(self) -> None:
        self.samples = 0
        self.right = 0
        self.of: Counter[int] = Counter()
        self.right_of: Counter[int] = Counter()
        self.logits: list[Float32Array] = []
        self.labels: list[SlotArray] = []

    def add(self, logits: Float32Array, labels: SlotArray) -> None:
        if self.samples < CALIBRATION_SAMPLES:
            self.logits.append(logits.copy())
            self.labels.append(labels)
        self.samples += len(labels)
        is_right = logits.argmax(axis=1) == labels
        self.right += int(np.sum(is_right))
        self.of.update(labels.tolist())
        self.right_of.update(labels[is_right].tolist())
