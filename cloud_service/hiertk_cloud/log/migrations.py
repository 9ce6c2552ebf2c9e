"""Bringing the log of an earlier version to this one's, in place and in steps.

Each step is one transaction and moves its rows, so that no more disk is needed than a step takes,
and an interrupted migration goes on when the log is opened again.
"""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from hiertk_protocol.storage import transaction

from hiertk_cloud.log.file import SCHEMA
from hiertk_cloud.log.records import checksum

_ROWS = 64
_LINE_EVERY_S = 5.0


def migrate(
    database: sqlite3.Connection, path: Path, version: int, tell: Callable[[str], None]
) -> None:
    """Bring the tables to this version. Raises sqlite3.Error."""
    tell(f"{path}: log of version {version}: it is being brought to this version")
    if version == 1:
        _from_1(database, tell)


def _from_1(database: sqlite3.Connection, tell: Callable[[str], None]) -> None:
    if not _has_table(database, "v1_batches"):
        _set_v1_apart(database)
    (left,) = database.execute("SELECT count(*) FROM v1_batches").fetchone()
    line_due = time.monotonic() + _LINE_EVERY_S
    while moved := _move_batches(database):
        left -= moved
        if time.monotonic() >= line_due:
            line_due = time.monotonic() + _LINE_EVERY_S
            tell(f"{left} batches of the log are still to be brought to this version")
    _finish_1(database)


def _has_table(database: sqlite3.Connection, name: str) -> bool:
    query = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
    return bool(database.execute(query, (name,)).fetchone()[0])


def _set_v1_apart(database: sqlite3.Connection) -> None:
    with transaction(database):
        for table in ("batches", "streams", "refusals", "totals"):
            database.execute(f"ALTER TABLE {table} RENAME TO v1_{table}")
        for statement in SCHEMA.split(";\n"):
            if "TABLE owner" not in statement and statement.strip():
                database.execute(statement)
        database.execute("INSERT INTO streams SELECT device, epoch, through, 0 FROM v1_streams")
        database.execute("INSERT INTO refusals SELECT * FROM v1_refusals")
        database.execute("INSERT INTO totals SELECT 0, refused, duplicates, 0, 0 FROM v1_totals")


def _move_batches(database: sqlite3.Connection) -> int:
    """Move some rows; their turn is their position, in whose order version 1 trained."""
    now = int(time.time())
    with transaction(database):
        rows = database.execute(
            "SELECT position, train_number, device, epoch, seq, message FROM v1_batches "
            "ORDER BY position LIMIT ?",
            (_ROWS,),
        ).fetchall()
        for position, train_number, device, epoch, seq, message in rows:
            # edge_step: version 1 did not record it
            key, whole = (position, device, epoch, seq), (len(message), checksum(message))
            database.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?, ?, NULL, ?, ?, ?, ?, ?)",
                (*key, train_number is None, now, *whole, position, train_number),
            )
            database.execute("INSERT INTO messages VALUES (?, ?)", (position, message))
            database.execute("DELETE FROM v1_batches WHERE position = ?", (position,))
    return len(rows)


def _finish_1(database: sqlite3.Connection) -> None:
    with transaction(database):
        database.execute(
            "INSERT INTO devices (device, stored, stored_bytes, held_bytes) "
            "SELECT device, count(*), sum(size), sum(size) FROM batches GROUP BY device"
        )
        database.execute(
            "UPDATE totals SET (stored, turns, trained) = (SELECT ifnull(max(position), 0), "
            "ifnull(max(position), 0), ifnull(max(train_number), 0) FROM batches)"
        )
        for table in ("batches", "streams", "refusals", "totals"):
            database.execute(f"DROP TABLE v1_{table}")
        database.execute("PRAGMA user_version = 2")
