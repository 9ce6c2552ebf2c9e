"""The log's file: its tables, its owner, and what goes wrong with it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hiertk_protocol.errors import ConfigError, StorageError

SCHEMA_VERSION = 2
_BUSY_TIMEOUT_S = 10.0
# Messages are large: larger pages and a longer WAL than SQLite's own defaults.
_PAGE_BYTES = 16384
_WAL_BYTES = 32 << 20

# SQLite keeps any type in any column; what is checked here, quick_check checks again.
SCHEMA = """
CREATE TABLE batches (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    device TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    held_out INTEGER NOT NULL,
    edge_step INTEGER,            -- NULL: stored before it was recorded
    stored_at INTEGER NOT NULL,   -- seconds since 1970
    size INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    turn INTEGER,                 -- 1, 2, ... in the order of training; NULL: not scheduled yet
    train_number INTEGER,         -- 1, 2, ... among those to train on; NULL: held out, or stale
    UNIQUE (device, epoch, seq),
    CHECK (typeof(epoch) = 'integer' AND typeof(seq) = 'integer' AND typeof(held_out) = 'integer'
        AND typeof(stored_at) = 'integer' AND typeof(size) = 'integer'
        AND typeof(checksum) = 'integer')
);
CREATE UNIQUE INDEX by_turn ON batches (turn) WHERE turn IS NOT NULL;
CREATE UNIQUE INDEX by_train_number ON batches (train_number) WHERE train_number IS NOT NULL;
CREATE INDEX waiting ON batches (device, position) WHERE turn IS NULL;
CREATE TABLE messages (position INTEGER PRIMARY KEY, message BLOB NOT NULL);
CREATE TABLE streams (
    device TEXT NOT NULL, epoch INTEGER NOT NULL, through INTEGER NOT NULL,
    edge_step INTEGER NOT NULL,   -- the newest that came
    PRIMARY KEY (device, epoch),
    CHECK (typeof(through) = 'integer' AND typeof(edge_step) = 'integer')
) WITHOUT ROWID;
CREATE TABLE refusals (
    device TEXT NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (device, epoch, seq)
) WITHOUT ROWID;
CREATE TABLE devices (
    device TEXT PRIMARY KEY,
    stored INTEGER NOT NULL DEFAULT 0,
    stored_bytes INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0,
    duplicates INTEGER NOT NULL DEFAULT 0,
    held_bytes INTEGER NOT NULL DEFAULT 0,
    CHECK (typeof(stored) = 'integer' AND typeof(stored_bytes) = 'integer'
        AND typeof(refused) = 'integer' AND typeof(duplicates) = 'integer'
        AND typeof(held_bytes) = 'integer')
) WITHOUT ROWID;
CREATE TABLE owner (bundle_id BLOB NOT NULL);
CREATE TABLE totals (
    stored INTEGER NOT NULL, refused INTEGER NOT NULL, duplicates INTEGER NOT NULL,
    turns INTEGER NOT NULL, trained INTEGER NOT NULL,
    CHECK (typeof(stored) = 'integer' AND typeof(refused) = 'integer'
        AND typeof(duplicates) = 'integer' AND typeof(turns) = 'integer'
        AND typeof(trained) = 'integer')
);
"""


class DiskFullError(StorageError):
    """There is no room; what was to be written is not, and the file is as before."""


class LogDamagedError(StorageError):
    """The file is not what SQLite wrote."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, creating it if it is missing. Raises StorageError."""
    with reporting(path):
        # Opened in one thread and used in another, but never in two at a time.
        database = sqlite3.connect(
            path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        database.execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # of a new file only
        database.execute("PRAGMA synchronous = FULL")
        (page_bytes,) = database.execute("PRAGMA page_size").fetchone()
        database.execute(f"PRAGMA wal_autocheckpoint = {_WAL_BYTES // page_bytes}")
        database.execute(f"PRAGMA journal_size_limit = {2 * _WAL_BYTES}")
    return database


def create(database: sqlite3.Connection, bundle_id: bytes) -> None:
    """Make the tables of a new file."""
    database.execute("PRAGMA journal_mode = WAL")
    database.executescript(f"BEGIN; {SCHEMA}; PRAGMA user_version = {SCHEMA_VERSION};")
    database.execute("INSERT INTO owner VALUES (?)", (bundle_id,))
    database.execute("INSERT INTO totals VALUES (0, 0, 0, 0, 0)")
    database.execute("COMMIT")


def version_of(database: sqlite3.Connection) -> int | None:
    """Return the version of the file's tables; None for a new file."""
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return None if version == 0 and tables == 0 else version


def check_version(version: int, path: Path) -> None:
    """Refuse a file of a later version than this. Raises StorageError."""
    if not 1 <= version <= SCHEMA_VERSION:
        raise StorageError(
            f"{path}: log of version {version}, this is version {SCHEMA_VERSION}: "
            "use the hiertk-cloud that wrote it, or another --state folder"
        )


def check_owner(database: sqlite3.Connection, path: Path, bundle_id: bytes) -> None:
    """Refuse another bundle's log. Raises ConfigError, LogDamagedError if it names none."""
    (owner,) = database.execute("SELECT bundle_id FROM owner").fetchone() or (None,)
    if not isinstance(owner, bytes):
        raise LogDamagedError(f"{path}: it names no bundle")
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
        text = str(error)
        # Python 3.10 does not tell SQLite's error code.
        if "disk is full" in text:
            raise DiskFullError(f"{path}: {text}: make room") from error
        if "malformed" in text or "not a database" in text:
            raise LogDamagedError(f"{path}: {text}: start again, to have it repaired") from error
        raise StorageError(f"{path}: {text}: is the disk full, or the file damaged?") from error


@contextmanager
def reporting_damage(path: Path) -> Iterator[None]:
    """Do the same while a file is opened that may hold anything: also rows that are missing."""
    try:
        with reporting(path):
            yield
    except (TypeError, ValueError, AttributeError) as error:
        raise LogDamagedError(f"{path}: its tables are damaged: {error}") from error


def signed(epoch: int) -> int:
    """Return a fixed64 as the signed integer of the same bits: SQLite has no other."""
    return epoch - (1 << 64) if epoch >= 1 << 63 else epoch


def unsigned(epoch: int) -> int:
    """Return the fixed64 that `signed` was given."""
    return epoch % (1 << 64)
