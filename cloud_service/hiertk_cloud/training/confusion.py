"""What the final exit takes for what: the confusion matrix of each device's newest evaluation.

Rounds count as in held_out.py. It is not part of the checkpoint: after a restart the next
evaluation fills it again.
"""

import threading
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from hiertk_protocol.messages import SlotArray

Cells = Counter[tuple[int, int]]  # (label, prediction): samples
MAX_DEVICES = 1000


@dataclass
class _Rounds:
    """One device's newest round, and the one before it."""

    edge_step: int
    newest: Cells = field(default_factory=Counter)
    previous: Cells = field(default_factory=Counter)

    @property
    def counting(self) -> Cells:
        is_behind = self.newest.total() < self.previous.total()
        return self.previous if is_behind else self.newest


class ConfusionRounds:
    """Collects held-out predictions; any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._devices: dict[str, _Rounds] = {}

    def add(self, device: str, edge_step: int, labels: SlotArray, predictions: SlotArray) -> None:
        """Count one batch. labels, predictions: (N,) int64 class slots."""
        with self._lock:
            rounds = self._devices.get(device)
            if rounds is None:
                if len(self._devices) >= MAX_DEVICES:
                    return
                rounds = self._devices[device] = _Rounds(edge_step)
            if edge_step != rounds.edge_step:
                rounds.edge_step = edge_step
                rounds.previous, rounds.newest = rounds.newest, Counter()
            pairs = zip(labels.tolist(), predictions.tolist(), strict=True)
            rounds.newest.update(pairs)

    def matrix(self, slots: int) -> npt.NDArray[np.int64] | None:
        """Return (slots, slots) int64: row the label, column the prediction; None if empty."""
        with self._lock:
            cells: Cells = sum((one.counting for one in self._devices.values()), Counter())
        if not cells:
            return None
        matrix = np.zeros((slots, slots), np.int64)
        for (label, prediction), samples in cells.items():
            if label < slots and prediction < slots:
                matrix[label, prediction] = samples
        return matrix
