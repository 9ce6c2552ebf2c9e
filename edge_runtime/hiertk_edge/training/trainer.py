"""The edge step: train on a batch, take turns with predictions, spool the features."""

import time
from collections.abc import Mapping

from hiertk_protocol.hiertk_pb2 import FeatureBatch

from hiertk_edge.learner import (
    Float32Array,
    Learner,
    SlotArray,
    StepResult,
    evaluate_known,
)
from hiertk_edge.spool import Cursor
from hiertk_edge.training.encoding import check_loss
from hiertk_edge.training.new_slots import NewSlots
from hiertk_edge.training.progress import Progress
from hiertk_edge.training.spooling import Spooling
from hiertk_edge.training.turns import Turns


class EdgeTrainer:
    """Does one edge step after the other."""

    def __init__(
        self,
        learner: Learner,
        turns: Turns,
        spooling: Spooling,
        progress: Progress,
        *,
        new_slots: NewSlots | None = None,
    ) -> None:
        """Prepare. new_slots: None where a label without an open slot is an error."""
        self._learner = learner
        self._turns = turns
        self._spooling = spooling
        self._progress = progress
        self._new_slots = new_slots
        self.newest: Float32Array | None = None
        """Images of the newest step."""

    @property
    def edge_step(self) -> int:
        """Optimizer steps done so far."""
        return self._learner.edge_step

    def can_train(self, samples: int) -> bool:
        """Return whether a step can train on exactly so many samples."""
        return self._learner.can_train(samples)

    def move(self, moves: Mapping[int, int | None]) -> None:
        """Follow classes that are in other slots now; None: nowhere."""
        if self._new_slots is not None:
            self._new_slots.move(moves)

    def step(self, images: Float32Array, labels: SlotArray, *, sent: int, cursor: Cursor) -> None:
        """Train on a batch, and put the features of its first `sent` images into the spool.

        cursor: the place in the data behind this batch. Raises ProtocolError if training diverged.
        """
        edge_step = self._learner.edge_step
        with self._turns.turn():
            started = time.perf_counter()
            if self._new_slots is not None:
                self._new_slots.prepare(images, labels)
            result = self._learner.step(images, labels)
            step_ms = 1000 * (time.perf_counter() - started)
        if sent:
            self._put(result.rows(0, sent), labels[:sent], edge_step=edge_step, cursor=cursor)
        else:
            check_loss(result.loss)
            self._spooling.move(cursor)
        self.newest = images
        self._progress.add(result, labels, edge_step=self._learner.edge_step, step_ms=step_ms)

    def send(self, images: Float32Array, labels: SlotArray, *, cursor: Cursor) -> None:
        """Put the features of a batch into the spool, in the inference form, and train nothing.

        Images of a class that the early exit was not trained on are left out.
        """
        with self._turns.turn():
            known = evaluate_known(self._learner, images, labels)
        if known is None:
            self._spooling.move(cursor)
            return
        result, labels = known
        self._put(result, labels, edge_step=self._learner.edge_step, cursor=cursor)

    def _put(
        self, result: StepResult, labels: SlotArray, *, edge_step: int, cursor: Cursor
    ) -> None:
        self._spooling.put(
            result, labels, edge_step=edge_step, purpose=FeatureBatch.TRAIN, cursor=cursor
        )
