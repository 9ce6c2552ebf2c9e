"""What the labels of the stored samples stand for.

A sample is stored with a label, a small number that never changes; a table says which class it
stands for, and in which slot. So when a class moves to another slot, or is merged, one small
transaction moves all of its samples, and none is written again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hiertk_edge.classes.table import ClassInSlot, ClassTable

MOST_LABELS = 1 << 16
NOWHERE = -1


@dataclass(frozen=True)
class LabelRow:
    """What a label stands for. slot: NOWHERE while the samples of a lost class are wiped."""

    slot: int
    known: ClassInSlot


class SampleLabels:
    """The table; it is replaced, never changed, but for labels that are added."""

    def __init__(self, rows: Mapping[int, LabelRow]) -> None:
        self.rows = dict(rows)

    @property
    def known(self) -> dict[int, ClassInSlot]:
        """The classes by their slots."""
        return {row.slot: row.known for row in self.rows.values() if row.slot != NOWHERE}

    @property
    def lost(self) -> list[int]:
        """The labels of classes that are nowhere any more."""
        return [label for label, row in self.rows.items() if row.slot == NOWHERE]

    def slot_of(self, label: int) -> int | None:
        """Return a label's slot; None for one that is not known."""
        row = self.rows.get(label)
        return None if row is None else row.slot

    def of_slot(self, slot: int) -> list[int]:
        """Return the labels of a class, the one that new samples get first."""
        found = [label for label, row in self.rows.items() if row.slot == slot]
        return sorted(found, key=lambda label: (label != slot, label))

    def free(self, slot: int) -> int:
        """Return a label for a class that has none: the slot's own number, if it is free."""
        if slot not in self.rows:
            return slot
        return next(label for label in range(MOST_LABELS) if label not in self.rows)

    def add(self, label: int, row: LabelRow) -> None:
        """Add a label."""
        self.rows[label] = row

    def without(self, labels: Iterable[int]) -> "SampleLabels":
        """Return the table without these labels."""
        return SampleLabels({n: row for n, row in self.rows.items() if n not in set(labels)})

    def following(self, table: ClassTable) -> "SampleLabels":
        """Return the table after the classes that a newer class table has."""
        moves = table.moves(self.known)
        rows = {}
        for label, row in self.rows.items():
            slot = moves.get(row.slot)
            if slot is None:
                rows[label] = LabelRow(NOWHERE, row.known)
            else:
                rows[label] = LabelRow(slot, table.by_slot[slot])
        return SampleLabels(rows)
