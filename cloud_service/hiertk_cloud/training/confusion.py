"""What both exits take for what: the confusion matrices of each device's newest evaluation.

Rounds count as in held_out.py. A class is kept by its origin, so that the matrices can be read
under every later class map. They are not part of the checkpoint: after a restart the next
evaluation fills them again.
"""

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from hiertk_protocol.class_map import ClassMap
from hiertk_protocol.messages import SlotArray

Origin = tuple[int, int]  # (slot, since): one class for ever
Cells = Counter[tuple[Origin, Origin | None]]  # (label, prediction): samples; None: of no class
Counts = npt.NDArray[np.int64]
MAX_DEVICES = 1000


@dataclass(frozen=True)
class Evaluation:
    """Both exits on the same held-out samples, of all devices, by the classes of one map.

    number: another one whenever something was added. samples: (N,) int64 by class, in the map's
    order. early_exit, final_exit: (N, N) int64, row the label, column the prediction; a sample that
    was taken for a class that is gone now is in no column.
    """

    number: int
    classes: ClassMap
    samples: Counts
    early_exit: Counts
    final_exit: Counts


@dataclass
class _Round:
    """What one device's round has shown so far."""

    samples: int = 0
    early_exit: Cells = field(default_factory=Counter)
    final_exit: Cells = field(default_factory=Counter)


@dataclass
class _Rounds:
    """One device's newest round, and the one before it."""

    edge_step: int
    newest: _Round = field(default_factory=_Round)
    previous: _Round = field(default_factory=_Round)

    @property
    def counting(self) -> _Round:
        is_behind = self.newest.samples < self.previous.samples
        return self.previous if is_behind else self.newest


class ConfusionRounds:
    """Collects held-out predictions; any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._devices: dict[str, _Rounds] = {}
        self._added = 0
        self._newest: Evaluation | None = None

    def add(
        self,
        device: str,
        edge_step: int,
        labels: SlotArray,
        predictions: SlotArray,
        *,
        early_exit: SlotArray,
        classes: ClassMap,
    ) -> None:
        """Count one batch. labels, predictions (the final exit's), early_exit: (N,) int64 slots.

        classes: the map of these slots. One that is not in it stands for no class: as a prediction
        it is wrong.
        """
        known = [_origin(slot, classes) for slot in labels.tolist()]
        with self._lock:
            rounds = self._devices.get(device)
            if rounds is None:
                if len(self._devices) >= MAX_DEVICES:
                    return
                rounds = self._devices[device] = _Rounds(edge_step)
            if edge_step != rounds.edge_step:
                rounds.edge_step = edge_step
                rounds.previous, rounds.newest = rounds.newest, _Round()
            newest = rounds.newest
            newest.samples += len(known)
            _count(newest.final_exit, known, predictions, classes)
            _count(newest.early_exit, known, early_exit, classes)
            self._added += 1

    def again(self, device: str) -> None:
        """Begin a device's newest round anew; until it is as large as it was, that one counts."""
        with self._lock:
            rounds = self._devices.get(device)
            if rounds is not None:
                rounds.previous, rounds.newest = rounds.counting, _Round()

    def evaluation(self, classes: ClassMap) -> Evaluation | None:
        """Return what counts now, by the classes of a map; None until there is something."""
        with self._lock:
            if not self._devices:
                return None
            newest = self._newest
            if newest is None or (newest.number, newest.classes) != (self._added, classes):
                counting = [one.counting for one in self._devices.values()]
                newest = self._newest = _evaluation(self._added, counting, classes)
            return newest


def _origin(slot: int, classes: ClassMap) -> Origin | None:
    found = classes.by_slot.get(slot)
    return None if found is None else (slot, found.since)


def _count(
    cells: Cells, labels: list[Origin | None], predictions: SlotArray, classes: ClassMap
) -> None:
    pairs = zip(labels, predictions.tolist(), strict=True)
    cells.update(
        (label, _origin(predicted, classes)) for label, predicted in pairs if label is not None
    )


def _evaluation(number: int, rounds: Iterable[_Round], classes: ClassMap) -> Evaluation:
    early_exit: Cells = Counter()
    final_exit: Cells = Counter()
    for one in rounds:
        early_exit.update(one.early_exit)
        final_exit.update(one.final_exit)
    places = _places(classes)
    samples = np.zeros(len(classes.slots), np.int64)
    for (label, _), count in final_exit.items():
        if label in places:
            samples[places[label]] += count
    return Evaluation(
        number,
        classes,
        samples,
        _matrix(early_exit, places, classes),
        _matrix(final_exit, places, classes),
    )


def _places(classes: ClassMap) -> dict[Origin, int]:
    """Return the place in the map of every class that is in it, or was merged into one of it."""
    return {
        origin: place
        for place, entry in enumerate(classes.slots)
        for origin in (
            (entry.slot, entry.since),
            *((alias.slot, alias.since) for alias in entry.aliases),
        )
    }


def _matrix(cells: Cells, places: dict[Origin, int], classes: ClassMap) -> Counts:
    matrix = np.zeros((len(classes.slots), len(classes.slots)), np.int64)
    for (label, predicted), count in cells.items():
        if label in places and predicted in places:
            matrix[places[label], places[predicted]] += count
    return matrix
