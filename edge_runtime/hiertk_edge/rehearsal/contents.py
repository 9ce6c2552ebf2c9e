"""What a memory's file holds, read at the start and cut to the room that there is."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from hiertk_protocol.errors import StorageError

from hiertk_edge.damaged_file import DamagedError
from hiertk_edge.rehearsal.cells import NOBODY, UNKNOWN, WIPED, Cells, Head, Place
from hiertk_edge.rehearsal.file import MemoryFile
from hiertk_edge.rehearsal.held_out import surplus
from hiertk_edge.rehearsal.reservoir import Reservoir
from hiertk_edge.rehearsal.room import Room
from hiertk_edge.rehearsal.schema import Progress

_SHRINKING = 2  # a stream of random numbers of its own
_LARGEST_NUMBER = 1 << 61
_log = logging.getLogger(__name__)


@dataclass
class Contents:
    """The samples by cell, those to rehearse, and how far training has come.

    damaged: samples that could not be read, and were dropped.
    """

    cells: Cells
    reservoir: Reservoir
    progress: Progress
    next_number: int
    damaged: int

    def drop(self, cell: int) -> None:
        """Let a damaged sample go. Its row is overwritten when the cell is used again."""
        self.reservoir.remove(int(self.cells.slot[cell]), cell)
        self.cells.place[cell] = Place.FREE
        self.damaged += 1

    def wipe(self, chosen: Sequence[int], file: MemoryFile, room: Room) -> None:
        """Overwrite samples in the file, a few in a transaction."""
        for start in range(0, len(chosen), room.wipe_at_once):
            part = chosen[start : start + room.wipe_at_once]
            file.wipe(part)
            for cell in part:
                self.reservoir.remove(int(self.cells.slot[cell]), cell)
                self.cells.put(cell, WIPED, Place.FREE)


def load(file: MemoryFile, room: Room, class_slots: int) -> Contents:
    """Read who is where, and let go what there is no room for: never what waits."""
    contents = _read(file, room, class_slots)
    _shrink_reservoir(contents, file)
    _shrink_held_out(contents, file, room)
    if file.cell_count() > room.samples:
        _cut(contents, file, room, class_slots)
    return contents


def _read(file: MemoryFile, room: Room, class_slots: int) -> Contents:
    progress = file.progress()
    cells = Cells(max(room.samples, file.cell_count()))
    kept = file.kept(len(cells.place))
    damaged = 0
    newest = progress.through
    for cell, head in file.heads():
        if head is None or not _is_sound(head, class_slots):
            damaged += 1
            cells.slot[cell] = UNKNOWN
            continue
        cells.put(cell, head, _place_of(head, progress.through, is_kept=bool(kept[cell])))
        newest = max(newest, head.number)
    members = cells.oldest_first(Place.RESERVOIR).tolist()
    states = {slot: state for slot, state in file.classes().items() if slot < class_slots}
    reservoir = Reservoir(
        room.reservoir, states, ((int(cells.slot[cell]), cell) for cell in members)
    )
    return Contents(cells, reservoir, progress, newest + 1, damaged)


def _is_sound(head: Head, class_slots: int) -> bool:
    return NOBODY <= head.slot < class_slots and 0 <= head.number < _LARGEST_NUMBER


def _place_of(head: Head, through: int, *, is_kept: bool) -> Place:
    if head.slot == NOBODY:
        return Place.FREE
    if head.held_out:
        return Place.HELD_OUT
    if head.number > through:
        return Place.WAITING
    return Place.RESERVOIR if is_kept else Place.FREE


def _shrink_reservoir(contents: Contents, file: MemoryFile) -> None:
    progress = contents.progress
    generator = Random(f"{progress.seed} {_SHRINKING} {progress.batches}")
    gone = contents.reservoir.shrink(generator)
    if gone:
        file.settle([], gone, contents.reservoir.states, progress)
        contents.cells.place[gone] = Place.FREE


def _shrink_held_out(contents: Contents, file: MemoryFile, room: Room) -> None:
    cells = contents.cells
    gone = surplus(cells.ranks(Place.HELD_OUT), room.held_out)
    contents.wipe([cells.find(Place.HELD_OUT, rank) for _, rank in gone], file, room)


def _cut(contents: Contents, file: MemoryFile, room: Room, class_slots: int) -> None:
    """Move samples to the front and cut the file; it stays as large as it was if that fails."""
    place = contents.cells.place
    used = np.flatnonzero(place != Place.FREE)
    count = max(room.samples, len(used))  # more may wait than there is room for
    behind = used[used >= count].tolist()
    free = np.flatnonzero(place[:count] == Place.FREE).tolist()
    moves = dict(zip(behind, free, strict=False))
    try:
        file.cut(moves, count)
    except DamagedError:
        raise
    except StorageError as error:
        _log.warning("the rehearsal memory could not be made smaller: %s", error)
        return
    again = _read(file, room, class_slots)
    contents.cells, contents.reservoir = again.cells, again.reservoir
