"""Which samples make the next batch, and reading them: each is checked against its digest."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from hiertk_edge.images import Pixels
from hiertk_edge.rehearsal.cells import Place
from hiertk_edge.rehearsal.contents import Contents
from hiertk_edge.rehearsal.file import MemoryFile
from hiertk_edge.rehearsal.held_out import digest_of
from hiertk_edge.rehearsal.record import MixedBatch

_DRAWING, _PRACTISING = 0, 2  # streams of random numbers of their own


@dataclass(frozen=True)
class Wanted:
    """What a batch is to be.

    size: samples. rehearsed_share: of it, at least. elsewhere: class slots of which the caller has
    more samples to fill the batch up with; empty: the memory alone fills it.
    """

    size: int
    rehearsed_share: float = 0.5
    elsewhere: frozenset[int] = frozenset()

    @property
    def fresh(self) -> int:
        """Fresh samples in a full batch, if their classes are mixed."""
        return max(1, self.size - round(self.size * self.rehearsed_share))


def choose(contents: Contents, wanted: Wanted) -> tuple[list[int], int]:
    """Return the cells of the next batch, the fresh ones first, and how many those are.

    The batch has fewer than `size` samples only where others fill it up, or there are no more.
    """
    size = wanted.size
    waiting = contents.cells.oldest_first(Place.WAITING)
    even = _even_part(contents, wanted)
    kept = len(contents.reservoir)
    if wanted.elsewhere:
        rehearsed = min(kept, size - even, _fair_share(contents, wanted))
        fresh = even
    else:
        fresh = max(even, min(len(waiting), size - kept))
        rehearsed = min(kept, size - fresh)
    progress = contents.progress
    generator = Random(f"{progress.seed} {_DRAWING} {progress.batches}")
    drawn = contents.reservoir.draw(rehearsed, generator)
    return waiting[:fresh].tolist() + drawn, fresh


def choose_kept(contents: Contents, wanted: Wanted, number: int) -> list[int]:
    """Return the cells of a batch of kept samples alone; another number, another batch."""
    generator = Random(f"{contents.progress.seed} {_PRACTISING} {number}")
    most = _fair_share(contents, wanted) if wanted.elsewhere else wanted.size
    return contents.reservoir.draw(min(len(contents.reservoir), wanted.size, most), generator)


def is_full(contents: Contents, wanted: Wanted) -> bool:
    """Return whether there is no use in waiting for more samples: enough, or enough of a class."""
    slots = _next_slots(contents, wanted)
    if len(slots) == wanted.fresh:
        return True
    return max(Counter(slots).values(), default=0) >= _most_of_a_class(contents, wanted, slots)


def _even_part(contents: Contents, wanted: Wanted) -> int:
    """Return how many of the oldest waiting samples may be in one batch without a class too many.

    Of one class at most an eighth of the batch, unless there are only few classes: with half of a
    batch of one class, batch statistics are that class's, and the exit forgets all others within a
    few steps (docs/decisions/0014).
    """
    slots = _next_slots(contents, wanted)
    if not wanted.rehearsed_share:
        return len(slots)
    most = _most_of_a_class(contents, wanted, slots)
    seen: Counter[int] = Counter()
    for count, slot in enumerate(slots):
        if seen[slot] == most:
            return count
        seen[slot] += 1
    return len(slots)


def _next_slots(contents: Contents, wanted: Wanted) -> list[int]:
    """Return the class slots of the oldest waiting samples, as many as a batch may have."""
    waiting = contents.cells.oldest_first(Place.WAITING)[: wanted.fresh]
    slots: list[int] = contents.cells.slot[waiting].tolist()
    return slots


def _most_of_a_class(contents: Contents, wanted: Wanted, slots: Sequence[int]) -> int:
    known = contents.reservoir.slots | set(slots) | wanted.elsewhere
    return max(1, wanted.size // 8, -(-wanted.fresh // max(1, len(known))))


def _fair_share(contents: Contents, wanted: Wanted) -> int:
    """Return how many samples of the kept classes a batch has that is even over all classes."""
    kept = contents.reservoir.slots
    return len(kept) * -(-wanted.size // max(1, len(kept | wanted.elsewhere)))


def read(
    file: MemoryFile, contents: Contents, cells: Sequence[int], fresh: int, size: int
) -> MixedBatch | None:
    """Read samples of `size` by `size`; None if some are damaged, which are dropped."""
    pixels = np.empty((len(cells), size, size, 3), np.uint8)
    damaged = [
        cell for row, cell in enumerate(cells) if not _read_one(file, contents, cell, pixels[row])
    ]
    for cell in damaged:
        contents.drop(cell)
    if damaged:
        return None
    held = contents.cells
    slots = held.slot[list(cells)].astype(np.int64)
    return MixedBatch(pixels, slots, fresh, held.number[list(cells)])


def _read_one(file: MemoryFile, contents: Contents, cell: int, into: Pixels) -> bool:
    found = file.read(cell)
    if found is None:
        return False
    head, data = found
    known = contents.cells
    slot = contents.labels.slot_of(head.label)
    is_same = head.number == known.number[cell] and slot == known.slot[cell]
    if not is_same or digest_of(data, head.label) != head.digest:
        return False
    into[:] = np.frombuffer(data, np.uint8).reshape(into.shape)
    return True
