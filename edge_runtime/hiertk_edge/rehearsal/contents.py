"""What a memory's file holds, read at the start and cut to the room that there is."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from hiertk_protocol.errors import StorageError

from hiertk_edge.classes.table import ClassTable
from hiertk_edge.damaged_file import DamagedError
from hiertk_edge.rehearsal.cells import LOST, NOBODY, UNKNOWN, WIPED, Cells, Head, Place
from hiertk_edge.rehearsal.file import MemoryFile
from hiertk_edge.rehearsal.held_out import surplus
from hiertk_edge.rehearsal.labels import MOST_LABELS, NOWHERE, SampleLabels
from hiertk_edge.rehearsal.reservoir import Reservoir, moved_states
from hiertk_edge.rehearsal.room import Room
from hiertk_edge.rehearsal.schema import Progress

_SHRINKING = 2  # a stream of random numbers of its own
_LARGEST_NUMBER = 1 << 61
_log = logging.getLogger(__name__)


@dataclass
class Contents:
    """The samples by cell, those to rehearse, and how far training has come.

    labels: what the samples' labels stand for. damaged: samples that could not be read, and were
    dropped.
    """

    labels: SampleLabels
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
                self.cells.put(cell, WIPED, Place.FREE, NOBODY)

    def follow(self, table: ClassTable, file: MemoryFile, room: Room) -> None:
        """Move the samples to the slots of their classes, and wipe those of lost classes.

        All moves are one transaction; wiping goes on at the next start if it is cut short.
        """
        after = self.labels.following(table)
        if after.rows != self.labels.rows:
            moves = table.moves(self.labels.known)
            reservoir = self.reservoir.moved(moves)
            file.relabel(after.rows, reservoir.states)
            self.labels, self.reservoir = after, reservoir
            self.cells.move(moves)
        self.wipe_lost(file, room)

    def wipe_lost(self, file: MemoryFile, room: Room) -> None:
        """Overwrite the samples of classes that are nowhere any more."""
        lost = self.labels.lost
        if lost:
            self.wipe(np.flatnonzero(self.cells.slot == LOST).tolist(), file, room)
            file.drop_labels(lost)
            self.labels = self.labels.without(lost)


def load(file: MemoryFile, room: Room, table: ClassTable) -> Contents:
    """Read who is where, follow the classes, and let go what there is no room for.

    What waits is never let go.
    """
    labels = SampleLabels(file.labels())
    after = labels.following(table)
    if after.rows != labels.rows:
        file.relabel(after.rows, moved_states(file.classes(), table.moves(labels.known)))
    contents = _read(file, room, after)
    contents.wipe_lost(file, room)
    _shrink_reservoir(contents, file)
    _shrink_held_out(contents, file, room)
    if file.cell_count() > room.samples:
        _cut(contents, file, room)
    return contents


def _read(file: MemoryFile, room: Room, labels: SampleLabels) -> Contents:
    progress = file.progress()
    cells = Cells(max(room.samples, file.cell_count()))
    kept = file.kept(len(cells.place))
    damaged = 0
    newest = progress.through
    for cell, head in file.heads():
        slot = None if head is None else _slot_of(head, labels)
        if head is None or slot is None:
            damaged += 1
            cells.slot[cell] = UNKNOWN
            continue
        place = _place_of(head, slot, progress.through, is_kept=bool(kept[cell]))
        cells.put(cell, head, place, slot)
        newest = max(newest, head.number)
    members = cells.oldest_first(Place.RESERVOIR).tolist()
    reservoir = Reservoir(
        room.reservoir, file.classes(), ((int(cells.slot[cell]), cell) for cell in members)
    )
    return Contents(labels, cells, reservoir, progress, newest + 1, damaged)


def _slot_of(head: Head, labels: SampleLabels) -> int | None:
    """Return the slot of a sample, also NOBODY or LOST; None if it is damaged."""
    if not (NOBODY <= head.label < MOST_LABELS and 0 <= head.number < _LARGEST_NUMBER):
        return None
    if head.label == NOBODY:
        return NOBODY
    slot = labels.slot_of(head.label)
    return LOST if slot == NOWHERE else slot


def _place_of(head: Head, slot: int, through: int, *, is_kept: bool) -> Place:
    if slot < 0:
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


def _cut(contents: Contents, file: MemoryFile, room: Room) -> None:
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
    again = _read(file, room, contents.labels)
    contents.cells, contents.reservoir = again.cells, again.reservoir
