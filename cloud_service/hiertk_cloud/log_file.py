"""The log's file: its tables, its version, its owner, and what goes wrong with it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hiertk_protocol.errors import ConfigError, StorageError

SCHEMA_VERSION = 1
_BUSY_TIMEOUT_S = 10.0

_SCHEMA = """
CREATE TABLE batches (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    train_number INTEGER UNIQUE,  -- 1, 2, ... among those to train on; NULL for held-out ones
    device TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    message BLOB NOT NULL,
    UNIQUE (device, epoch, seq)
);
CREATE TABLE streams (
    device TEXT NOT NULL, epoch INTEGER NOT NULL, through INTEGER NOT NULL,
    PRIMARY KEY (device, epoch)
) WITHOUT ROWID;
CREATE TABLE refusals (
    device TEXT NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (device, epoch, seq)
) WITHOUT ROWID;
CREATE TABLE owner (bundle_id BLOB NOT NULL);
CREATE TABLE totals (refused INTEGER NOT NULL, duplicates INTEGER NOT NULL);
INSERT INTO totals VALUES (0, 0);
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, creating it if it is missing. Raises StorageError."""
    with reporting(path):
        # Opened in one thread and used in another, but never in two at a time.
        return sqlite3.connect(
            path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )


def prepare(database: sqlite3.Connection, path: Path, bundle_id: bytes) -> None:
    """Make a new file's tables, or check that they are this version's and this bundle's.

    Raises ConfigError if they are another bundle's, StorageError if of another version.
    """
    version = database.execute("PRAGMA user_version").fetchone()[0]
    is_empty = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if version == 0 and is_empty:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(f"BEGIN; {_SCHEMA}; PRAGMA user_version = {SCHEMA_VERSION};")
        database.execute("INSERT INTO owner VALUES (?)", (bundle_id,))
        database.execute("COMMIT")
    elif version != SCHEMA_VERSION:
        raise StorageError(
            f"{path}: log of version {version}, this is version {SCHEMA_VERSION}: "
            "use the hiertk-cloud that wrote it, or another --state folder"
        )
    database.execute("PRAGMA synchronous = FULL")
    _check_owner(database, path, bundle_id)


def _check_owner(database: sqlite3.Connection, path: Path, bundle_id: bytes) -> None:
    (owner,) = database.execute("SELECT bundle_id FROM owner").fetchone()
    if owner != bundle_id:
        raise ConfigError(
            f"{path.parent} holds the state of bundle {owner.hex()[:16]}, "
            f"not {bundle_id.hex()[:16]}: choose another --state folder"
        )


@contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into a StorageError that names the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(f"{path}: {error}: is the disk full, or the file damaged?") from error


def signed(epoch: int) -> int:
    """Return a fixed64 as the signed integer of the same bits: SQLite has no other."""
    return epoch - (1 << 64) if epoch >= 1 << 63 else epoch


def unsigned(epoch: int) -> int:
    """Return the fixed64 that `signed` was given."""
    return epoch % (1 << 64)
