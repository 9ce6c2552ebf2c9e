"""The table of cells in memory: who is in which row of the file. 21 bytes a cell, no pixels."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from hiertk_edge.rehearsal.held_out import DIGEST_BYTES, rank_of
from hiertk_edge.rehearsal.room import HEAD_BYTES

# The slots of a cell that is empty, damaged, or of a class that is nowhere any more.
NOBODY, UNKNOWN, LOST = -1, -2, -3
_HEAD = struct.Struct(f"<qi?3x{DIGEST_BYTES}s")
assert _HEAD.size == HEAD_BYTES

CellArray = npt.NDArray[np.int64]


class Place(IntEnum):
    """What a cell's sample is there for."""

    FREE = 0
    WAITING = 1
    RESERVOIR = 2
    HELD_OUT = 3


@dataclass(frozen=True)
class Head:
    """What is stored with the pixels.

    number: in the order of arrival. label: what stands for the class, see labels.py; NOBODY once
    the sample is wiped.
    """

    number: int
    label: int
    held_out: bool
    digest: bytes

    def to_bytes(self) -> bytes:
        """Return the stored form, always of the same size: a row is overwritten where it is."""
        return _HEAD.pack(self.number, self.label, self.held_out, self.digest)

    @classmethod
    def of(cls, data: bytes) -> "Head":
        """Read the stored form, HEAD_BYTES long."""
        return cls(*_HEAD.unpack(data))


WIPED = Head(0, NOBODY, held_out=False, digest=bytes(DIGEST_BYTES))


class Cells:
    """The cells 0 to count - 1. A free one remembers whose pixels are still in the file."""

    def __init__(self, count: int) -> None:
        """Begin with free cells."""
        self.place = np.full(count, Place.FREE, np.uint8)
        self.slot = np.full(count, NOBODY, np.int32)
        self.number = np.zeros(count, np.int64)
        self.rank = np.zeros(count, np.uint64)

    def put(self, cell: int, head: Head, place: Place, slot: int) -> None:
        """Note who is in a cell now."""
        self.place[cell] = place
        self.slot[cell] = slot
        self.number[cell] = head.number
        self.rank[cell] = rank_of(head.digest)

    def move(self, moves: Mapping[int, int | None]) -> None:
        """Note the slots that classes have now; samples of a class without one are LOST."""
        before = self.slot.copy()
        for slot, target in moves.items():
            chosen = before == slot
            self.slot[chosen] = LOST if target is None else target
            if target is None:
                self.place[chosen] = Place.FREE

    def count(self, place: Place) -> int:
        """Return the number of cells that serve this."""
        return int(np.count_nonzero(self.place == place))

    def holds(self, rank: int) -> bool:
        """Return whether this image is there already, whatever for."""
        return bool(np.any((self.rank == np.uint64(rank)) & (self.place != Place.FREE)))

    def free(self) -> int:
        """Return the first free cell; there must be one."""
        cell = int(np.argmin(self.place))
        assert self.place[cell] == Place.FREE
        return cell

    def oldest_first(self, place: Place) -> CellArray:
        """Return the cells that serve this, in the order of arrival."""
        cells = np.flatnonzero(self.place == place)
        return cells[np.argsort(self.number[cells], kind="stable")]

    def waiting_among(self, numbers: npt.NDArray[np.int64]) -> CellArray:
        """Return the cells of those of these samples that still wait, in the order of arrival."""
        cells = self.oldest_first(Place.WAITING)
        return cells[np.isin(self.number[cells], numbers)]

    def ranks(self, place: Place) -> dict[int, list[int]]:
        """Return the ranks of the samples that serve this, by class."""
        cells = np.flatnonzero(self.place == place)
        found: dict[int, list[int]] = {}
        for slot, rank in zip(self.slot[cells].tolist(), self.rank[cells].tolist(), strict=True):
            found.setdefault(slot, []).append(rank)
        return found

    def find(self, place: Place, rank: int) -> int:
        """Return the cell of a sample that is there."""
        return int(np.flatnonzero((self.place == place) & (self.rank == np.uint64(rank)))[0])

    def per_slot(self, place: Place) -> dict[int, int]:
        """Return the number of samples that serve this, by class."""
        slots, counts = np.unique(self.slot[self.place == place], return_counts=True)
        return dict(zip(slots.tolist(), counts.tolist(), strict=True))
