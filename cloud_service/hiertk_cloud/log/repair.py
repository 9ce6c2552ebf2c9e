"""What can be saved of a damaged log goes into a new one; the damaged file is kept beside it."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from hiertk_protocol.storage import transaction

from hiertk_cloud.log.file import LogDamagedError, check_owner, connect, create, reporting
from hiertk_cloud.log.records import is_whole

_UNREADABLE_AT_END = 4096  # so many positions in a row that cannot be read are taken for the end
_GROUP = 256
_LINE_EVERY_S = 5.0

Row = tuple[Any, ...]
Tell = Callable[[str], None]


def repair(path: Path, bundle_id: bytes, consumed: int, tell: Tell) -> None:
    """Replace the log by what can be read of it. Raises StorageError.

    consumed: turns that a checkpoint on disk has consumed; the new log goes on behind them. The
    new file takes the log's place only once it is complete.
    """
    new = path.with_name(f"{path.name}.repaired")
    _remove(new)
    with (
        reporting(path),
        closing(connect(new)) as target,
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as source,
    ):
        _check_owner(source, path, bundle_id)
        create(target, bundle_id)
        _copy_small(source, target)
        lost = _copy_batches(source, target, tell)
        _count_again(target, consumed)
        target.execute("PRAGMA journal_mode = DELETE")
        (kept,) = target.execute("SELECT count(*) FROM batches").fetchone()
    aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
    path.rename(aside)
    _remove(path)
    new.rename(path)
    tell(f"the log is repaired: {kept} batches are kept, {lost} lost; the damaged file is {aside}")


def _check_owner(source: sqlite3.Connection, path: Path, bundle_id: bytes) -> None:
    with suppress(sqlite3.DatabaseError, LogDamagedError):
        check_owner(source, path, bundle_id)


def _remove(path: Path) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        path.with_name(f"{path.name}{end}").unlink(missing_ok=True)


def _copy_small(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    for table, columns in (("streams", 4), ("refusals", 4), ("devices", 6)):
        marks = ", ".join("?" * columns)
        with transaction(target):
            for row in _readable(source, f"SELECT * FROM {table}"):  # noqa: S608
                with suppress(sqlite3.DatabaseError):  # of another type than it must be
                    target.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row)  # noqa: S608
    with suppress(sqlite3.DatabaseError):
        if row := source.execute("SELECT * FROM totals").fetchone():
            target.execute(
                "UPDATE totals SET (stored, refused, duplicates, turns, trained) = (?, ?, ?, ?, ?)",
                row,
            )


def _readable(source: sqlite3.Connection, query: str) -> Iterator[Row]:
    """Yield rows up to the first that cannot be read."""
    with suppress(sqlite3.DatabaseError):
        yield from source.execute(query)


def _copy_batches(source: sqlite3.Connection, target: sqlite3.Connection, tell: Tell) -> int:
    """Copy each batch whose row and message are whole; return how many are not."""
    lost = unreadable = position = 0
    line_due = time.monotonic() + _LINE_EVERY_S
    last = _last_position(source)
    while position < last or (last == 0 and unreadable < _UNREADABLE_AT_END):
        with transaction(target):
            for _ in range(_GROUP):
                position += 1
                try:
                    found = _read(source, position)
                except sqlite3.DatabaseError:
                    unreadable += 1
                    continue
                if found is not None:
                    lost += unreadable
                    unreadable = 0
                    lost += not _keep(target, *found)
        if time.monotonic() >= line_due:
            line_due = time.monotonic() + _LINE_EVERY_S
            tell(f"repairing the log: {position} batches looked at, of {last or 'some'}")
        if last == 0 and unreadable == 0 and found is None:
            break  # nothing is wrong here: this is the end
    return lost + (unreadable if last else 0)


def _last_position(source: sqlite3.Connection) -> int:
    """Return the last position that was ever given; 0 if that cannot be read."""
    with suppress(sqlite3.DatabaseError):
        row = source.execute("SELECT seq FROM sqlite_sequence WHERE name = 'batches'").fetchone()
        return int(row[0]) if row else 0
    return 0


def _read(source: sqlite3.Connection, position: int) -> tuple[Row, object] | None:
    row = source.execute("SELECT * FROM batches WHERE position = ?", (position,)).fetchone()
    if row is None:
        return None
    message = source.execute(
        "SELECT message FROM messages WHERE position = ?", (position,)
    ).fetchone()
    return row, message[0] if message else None


def _keep(target: sqlite3.Connection, row: Row, message: object) -> bool:
    size, wanted = row[7], row[8]
    if size and not is_whole(message, wanted):
        return False
    try:
        target.execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    except sqlite3.IntegrityError:  # of another type than it must be, or there already
        return False
    if size:
        target.execute("INSERT INTO messages VALUES (?, ?)", (row[0], message))
    return True


def _count_again(target: sqlite3.Connection, consumed: int) -> None:
    """Let the totals say what is there, and let no new batch get a turn that is consumed."""
    with transaction(target):
        target.execute(
            "UPDATE totals SET turns = max(turns, ?, (SELECT ifnull(max(turn), 0) FROM batches)), "
            "trained = max(trained, (SELECT ifnull(max(train_number), 0) FROM batches))",
            (consumed,),
        )
        target.execute(
            "UPDATE totals SET stored = turns + (SELECT count(*) FROM batches WHERE turn IS NULL)"
        )
        target.execute("UPDATE devices SET held_bytes = 0")
        target.execute(
            "INSERT INTO devices (device, stored, stored_bytes, held_bytes) "
            "SELECT device, count(*), sum(size), sum(size) FROM batches GROUP BY device "
            "ON CONFLICT (device) DO UPDATE SET held_bytes = excluded.held_bytes"
        )
        # A stream whose row was lost: what is kept of it is settled, and must not be stored again.
        target.execute(
            "INSERT OR IGNORE INTO streams "
            "SELECT device, epoch, 0, max(ifnull(edge_step, 0)) FROM batches GROUP BY device, epoch"
        )
