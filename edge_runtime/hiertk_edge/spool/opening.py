"""The spool's file opened: made or migrated, checked, and dated."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hiertk_protocol.storage import transaction

from hiertk_edge.damaged_file import DamagedError, set_aside
from hiertk_edge.spool.file import (
    check_owner,
    connect,
    create,
    mark_of_damage,
    read_counts,
    reporting,
    version_of,
    write_counts,
)
from hiertk_edge.spool.migrations import migrate
from hiertk_edge.spool.records import SpoolTotals, WhenFull
from hiertk_edge.spool.rows import Rows, index_for
from hiertk_edge.spool.wire_hours import move_back, read_hours, switched_off_s


@dataclass(frozen=True)
class Opened:
    """An open file. clock: seconds that the device had run with this spool when it was closed."""

    database: sqlite3.Connection
    epoch: int
    totals: SpoolTotals
    clock: int


def open_file(
    path: Path, *, bundle_id: bytes, device: str, when_full: WhenFull, wall: float
) -> Opened:
    """Open or create the file. wall: the date, seconds since 1970.

    A damaged one is set aside, with a warning, and a new one begun: what was held is lost. Raises
    ConfigError if it belongs to another bundle or device, StorageError.
    """
    try:
        return _open(path, bundle_id, device, when_full=when_full, wall=wall)
    except DamagedError as error:
        set_aside(path, "spool", error)
        mark_of_damage(path).unlink(missing_ok=True)
    return _open(path, bundle_id, device, when_full=when_full, wall=wall)


def _open(path: Path, bundle_id: bytes, device: str, *, when_full: WhenFull, wall: float) -> Opened:
    if mark_of_damage(path).exists():
        raise DamagedError(f"{path}: it was met when the device last ran")
    with reporting(path):
        database = connect(path)
    with reporting(path), _closing_on_errors(database):
        version = version_of(database, path)
        if version == 0:
            create(database, bundle_id, device)
        epoch = check_owner(database, path, bundle_id, device)
        if version:
            migrate(database, version)
        index_for(database, when_full)
        totals, clock, saved_wall = read_counts(database)
        totals = _checked(Rows(database), totals)
        _take_time_off(database, switched_off_s(saved_wall, wall))
        with transaction(database):
            write_counts(database, totals, clock=clock, wall=int(wall))
        return Opened(database, epoch, totals, clock)


def _checked(rows: Rows, totals: SpoolTotals) -> SpoolTotals:
    """Return totals that fit the rows; looks at the first and the last one only."""
    numbers = rows.numbers()
    if numbers and not 0 < numbers[0] <= numbers[1] < totals.next_seq:
        raise ValueError("the sequence numbers are damaged")
    if (numbers is None) == (totals.held == 0):
        return totals
    held, held_bytes = rows.sums()
    return replace(totals, held=held, held_bytes=held_bytes)


def _take_time_off(database: sqlite3.Connection, seconds: int) -> None:
    hours = read_hours(database)
    if seconds and hours:
        with transaction(database):
            move_back(database, hours, seconds)


@contextmanager
def _closing_on_errors(database: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        database.close()
        raise
