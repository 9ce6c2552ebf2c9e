"""Which earlier samples there are to replay: a table of references, balanced over classes. Pure.

Every sample that was trained on comes in; when the table is full, one of the class with the most
samples makes room, drawn at random. So rare classes keep what they have, frequent ones their newer
samples, and what comes out depends on the table, its seed and the numbers of batches only.
After GDumb's balancing sampler (Prabhu et al., ECCV 2020), which keeps the first samples instead.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from hiertk_protocol.messages import SlotArray
from torch import Tensor

from hiertk_cloud.classes.history import NO_CLASS

IntArray = npt.NDArray[np.int64]
_FREE = 0  # training batches are numbered from 1


class Reservoir:
    """References by cell. number: of the training batch, 0 where a cell is free.

    row: of the sample in its batch. slot: its class. All (cells,) int64.
    """

    def __init__(self, cells: int) -> None:
        self.number: IntArray = np.zeros(cells, np.int64)
        self.row: IntArray = np.zeros(cells, np.int64)
        self.slot: IntArray = np.zeros(cells, np.int64)

    def put(
        self, number: int, rows: IntArray, slots: SlotArray, generator: np.random.Generator
    ) -> list[int]:
        """Take in samples of one batch; return the cells that they are in, in their order.

        One that came first may have made room for one that came later: its cell is there twice.
        """
        cells = []
        for row, slot in zip(rows.tolist(), slots.tolist(), strict=True):
            cell = self._room_for(slot, generator)
            self.number[cell], self.row[cell], self.slot[cell] = number, row, slot
            cells.append(cell)
        return cells

    def draw(self, wanted: int, generator: np.random.Generator) -> list[int]:
        """Draw cells, as many of each class as there are, and none twice; fewer if there are not.

        Which classes give one more than others is drawn, too.
        """
        slots, available = np.unique(self.slot[self.number != _FREE], return_counts=True)
        cells: list[int] = []
        for slot, count in zip(slots, balanced(available, wanted, generator), strict=True):
            if count:
                cells += generator.choice(self._cells_of(slot), count, replace=False).tolist()
        return cells

    def forget_before(self, number: int) -> IntArray:
        """Free the cells of older batches, and return them."""
        cells: IntArray = np.flatnonzero((self.number != _FREE) & (self.number < number))
        self.number[cells] = _FREE
        return cells

    def forget_batch(self, number: int) -> IntArray:
        """Free the cells of one batch, and return them."""
        cells = self.cells_of_batch(number)
        self.number[cells] = _FREE
        return cells

    def cells_of_batch(self, number: int) -> IntArray:
        """Return the cells of one batch."""
        cells: IntArray = np.flatnonzero(self.number == number)
        return cells

    def translate(self, into: Callable[[SlotArray], SlotArray]) -> IntArray:
        """Follow the class map; return the cells that are free because their class is gone."""
        used: IntArray = np.flatnonzero(self.number != _FREE)
        if not len(used):
            return used
        slots = into(self.slot[used])
        gone: IntArray = used[slots == NO_CLASS]
        self.slot[used] = slots
        self.number[gone] = _FREE
        return gone

    def clear(self) -> None:
        """Free every cell."""
        self.number[:] = _FREE

    def is_sound(self, class_slots: int) -> bool:
        """Return whether what was read from a file can be such a table."""
        used = self.number != _FREE
        slots = self.slot[used]
        numbers_are = bool((self.number >= 0).all() and (self.row[used] >= 0).all())
        return numbers_are and bool(((slots >= 0) & (slots < class_slots)).all())

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint holds, in the memory that is in use."""
        return {
            "replay/number": torch.from_numpy(self.number),
            "replay/row": torch.from_numpy(self.row),
            "replay/slot": torch.from_numpy(self.slot),
        }

    def _room_for(self, slot: int, generator: np.random.Generator) -> int:
        free = np.flatnonzero(self.number == _FREE)
        if len(free):
            return int(free[0])
        counts = np.bincount(self.slot)
        most = int(counts.argmax())
        if slot < len(counts) and counts[slot] == counts[most]:
            most = slot
        return int(generator.choice(self._cells_of(most)))

    def _cells_of(self, slot: int) -> IntArray:
        cells: IntArray = np.flatnonzero((self.slot == slot) & (self.number != _FREE))
        return cells


def balanced(available: IntArray, wanted: int, generator: np.random.Generator) -> IntArray:
    """Return how many to take of each class, (classes,): alike, as far as they are available."""
    taken = np.zeros(len(available), np.int64)
    left = min(wanted, int(available.sum()))
    while left:
        open_ones = np.flatnonzero(taken < available)
        each = left // len(open_ones)
        if not each:
            taken[generator.choice(open_ones, left, replace=False)] += 1
            break
        more = np.minimum(available[open_ones] - taken[open_ones], each)
        taken[open_ones] += more
        left -= int(more.sum())
    return taken
