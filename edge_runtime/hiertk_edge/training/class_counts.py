"""How often each class was trained on of late."""

from collections.abc import Mapping

import numpy as np
from hiertk_protocol.new_class import log_prior

from hiertk_edge.learner import Float32Array, SlotArray

# Of a count, per batch: the newest 10 or so count. More of them lag behind a burst of a new class,
# and the loss makes up for too much.
_KEPT = 0.9
_LEAST = 1e-9  # a class that was there does not become one that never was


class ClassCounts:
    """Counts of labels that decay with every batch.

    They begin anew with the process: what they say is true again after some steps, and a step that
    was lost in a crash must not count.
    """

    def __init__(self, slots: int) -> None:
        self._counts = np.zeros(slots)

    def add(self, labels: SlotArray) -> None:
        """Count the labels of a batch, all of them below the number of slots."""
        before = self._counts
        before = np.where(before > 0, np.maximum(_KEPT * before, _LEAST), 0.0)
        self._counts = before + np.bincount(labels, minlength=len(before))

    def move(self, moves: Mapping[int, int | None]) -> None:
        """Follow classes that are in other slots now; None: nowhere."""
        before = self._counts
        self._counts = before.copy()
        self._counts[list(moves)] = 0
        for old, new in moves.items():
            if new is not None:
                self._counts[new] += before[old]

    def prior(self) -> Float32Array:
        """Return the log prior (class slots,) of what was counted."""
        return log_prior(self._counts)
