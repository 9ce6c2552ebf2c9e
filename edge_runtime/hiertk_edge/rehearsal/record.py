"""What the rehearsal memory gives: mixed batches, and its counts."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hiertk_edge.images import Pixels
from hiertk_edge.sources.record import SlotArray


@dataclass(frozen=True)
class MixedBatch:
    """Fresh samples in the order of their arrival, then rehearsed ones.

    pixels: (N, size, size, 3) uint8. slots: (N,) int64. fresh: the first so many rows are fresh.
    ids: (N,) int64, the samples' numbers in the memory.
    """

    pixels: Pixels
    slots: SlotArray
    fresh: int
    ids: npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClassCounts:
    """A class's samples. seen: those that training took; the others: those held now."""

    seen: int = 0
    reservoir: int = 0
    held_out: int = 0
    waiting: int = 0

    @property
    def held(self) -> int:
        """Samples held now, wherever."""
        return self.reservoir + self.held_out + self.waiting
