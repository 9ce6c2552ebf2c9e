"""Which samples make the next batch, and reading them: each is checked against its digest."""

from collections.abc import Sequence
from random import Random

import numpy as np

from hiertk_edge.images import Pixels
from hiertk_edge.rehearsal.cells import Place
from hiertk_edge.rehearsal.contents import Contents
from hiertk_edge.rehearsal.file import MemoryFile
from hiertk_edge.rehearsal.held_out import digest_of
from hiertk_edge.rehearsal.record import MixedBatch

_DRAWING = 0  # a stream of random numbers of its own


def choose(contents: Contents, size: int, rehearsed_share: float) -> tuple[list[int], int]:
    """Return the cells of the next batch, the fresh ones first, and how many those are."""
    waiting = contents.cells.oldest_first(Place.WAITING)
    wanted = max(round(size * rehearsed_share), size - len(waiting))
    rehearsed = min(wanted, len(contents.reservoir), size - 1)
    fresh = waiting[: size - rehearsed].tolist()
    progress = contents.progress
    generator = Random(f"{progress.seed} {_DRAWING} {progress.batches}")
    return fresh + contents.reservoir.draw(rehearsed, generator), len(fresh)


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
    is_same = head.number == known.number[cell] and head.slot == known.slot[cell]
    if not is_same or digest_of(data, head.slot) != head.digest:
        return False
    into[:] = np.frombuffer(data, np.uint8).reshape(into.shape)
    return True
