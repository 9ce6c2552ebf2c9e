"""The registry's file: its tables, its owner, and what goes wrong with it."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hiertk_protocol.errors import ConfigError, ProtocolError, StorageError
from hiertk_protocol.manifest import ClassInfo, Manifest
from hiertk_protocol.storage import transaction
from pydantic import ValidationError

from hiertk_cloud.classes.changes import Change, Kind
from hiertk_cloud.log import DiskFullError

SCHEMA_VERSION = 1
_BUSY_TIMEOUT_S = 10.0

# SQLite keeps any type in any column; what is checked here, quick_check checks again.
SCHEMA = """
CREATE TABLE changes (            -- only ever added to
    version INTEGER PRIMARY KEY,  -- of the class map that it made: 2, 3, ...
    kind TEXT NOT NULL,
    slot INTEGER NOT NULL,
    name TEXT NOT NULL,
    into_slot INTEGER,
    made_at INTEGER NOT NULL,     -- seconds since 1970
    device TEXT NOT NULL,         -- who asked; empty: the operator
    CHECK (typeof(slot) = 'integer' AND typeof(made_at) = 'integer' AND typeof(name) = 'text'
        AND typeof(device) = 'text' AND kind IN ('name', 'merge', 'retire')
        AND typeof(into_slot) IN ('integer', 'null'))
);
CREATE INDEX by_device ON changes (device, made_at);
CREATE TABLE devices (
    device TEXT PRIMARY KEY,
    version INTEGER NOT NULL,     -- the class map that it has in place; 0: it has not said
    seen INTEGER NOT NULL,        -- seconds since 1970
    CHECK (typeof(device) = 'text' AND typeof(version) = 'integer' AND typeof(seen) = 'integer')
) WITHOUT ROWID;
CREATE TABLE owner (bundle_id BLOB NOT NULL);
CREATE TABLE exported (classes TEXT NOT NULL);  -- the manifest's, for whoever has no bundle
"""


def open_file(path: Path, manifest: Manifest) -> sqlite3.Connection:
    """Open or create a bundle's file.

    Raises ConfigError if it belongs to another bundle, StorageError if it is of a later version or
    damaged.
    """
    database = _connect(path)
    try:
        with reporting(path):
            if _is_new(database):
                _create(database, manifest)
            else:
                _check(database, path)
                _check_owner(database, path, manifest.bundle_id)
                _note_exported(database, manifest.classes)
    except BaseException:
        database.close()
        raise
    return database


def open_existing(path: Path) -> sqlite3.Connection:
    """Open the file of whichever bundle it is.

    Raises ConfigError if there is none, StorageError if it is damaged.
    """
    if not path.exists():
        raise ConfigError(
            f"{path.parent} has no {path.name}: name the state folder of a service that has run"
        )
    database = _connect(path)
    try:
        with reporting(path):
            _check(database, path)
    except BaseException:
        database.close()
        raise
    return database


def read_exported(database: sqlite3.Connection, path: Path) -> ClassInfo:
    """Return the classes that the bundle was exported with. Raises StorageError."""
    with reporting(path):
        (text,) = database.execute("SELECT classes FROM exported").fetchone()
        return ClassInfo.model_validate_json(text)


def read_changes(database: sqlite3.Connection, after: int) -> list[Change]:
    """Return the changes that made the versions after one, in their order."""
    rows = database.execute(
        "SELECT version, kind, slot, name, into_slot, made_at, device FROM changes "
        "WHERE version > ? ORDER BY version",
        (after,),
    )
    return [
        Change(version, Kind(kind), slot, name, into, made_at, device)
        for version, kind, slot, name, into, made_at, device in rows
    ]


def add_change(database: sqlite3.Connection, change: Change) -> None:
    """Add a change, inside a transaction."""
    database.execute(
        "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            change.version,
            change.kind.value,
            change.slot,
            change.name,
            change.into,
            change.made_at,
            change.device,
        ),
    )


@contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Turn whatever a file that may hold anything raises into a StorageError that names it."""
    try:
        yield
    except sqlite3.Error as error:
        # Python 3.10 does not tell SQLite's error code.
        if "disk is full" in str(error):
            raise DiskFullError(f"{path}: {error}: make room") from error
        if "locked" in str(error):
            raise StorageError(f"{path}: {error}: another process writes to it: again") from error
        raise _damaged(path, str(error)) from error
    except ValidationError as error:
        raise _damaged(path, f"its classes: {error.errors()[0]['msg']}") from error
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _damaged(path, str(error)) from error


@contextmanager
def reporting_damage(path: Path) -> Iterator[None]:
    """Report changes that no registry makes as damage of the file."""
    try:
        with reporting(path):
            yield
    except ProtocolError as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, what: str) -> StorageError:
    text = " ".join(what.split())[:200]
    return StorageError(
        f"{path}: {text}: restore the whole state folder from a backup; "
        f"without one, move {path.name} away to begin with the exported classes"
    )


def _connect(path: Path) -> sqlite3.Connection:
    with reporting(path):
        # Opened in one thread and used in another, but never in two at a time.
        database = sqlite3.connect(
            path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        database.execute("PRAGMA synchronous = FULL")
    return database


def _is_new(database: sqlite3.Connection) -> bool:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return bool(version == 0 and tables == 0)


def _create(database: sqlite3.Connection, manifest: Manifest) -> None:
    database.execute("PRAGMA journal_mode = WAL")
    with transaction(database):
        for statement in SCHEMA.split(";\n"):
            if statement.strip():
                database.execute(statement)
        database.execute("INSERT INTO owner VALUES (?)", (manifest.bundle_id,))
        _note_exported(database, manifest.classes)
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _check(database: sqlite3.Connection, path: Path) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"{path}: classes of version {version}, this is version {SCHEMA_VERSION}: "
            "use the hiertk-cloud that wrote it, or another --state folder"
        )
    (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if version != SCHEMA_VERSION or found != "ok":
        raise _damaged(path, str(found))


def _check_owner(database: sqlite3.Connection, path: Path, bundle_id: bytes) -> None:
    (owner,) = database.execute("SELECT bundle_id FROM owner").fetchone()
    if not isinstance(owner, bytes):
        raise _damaged(path, "it names no bundle")
    if owner != bundle_id:
        raise ConfigError(
            f"{path.parent} holds the classes of bundle {owner.hex()[:16]}, "
            f"not {bundle_id.hex()[:16]}: choose another --state folder"
        )


def _note_exported(database: sqlite3.Connection, classes: ClassInfo) -> None:
    text = json.dumps(classes.model_dump(mode="json"), ensure_ascii=False)
    if database.execute("SELECT classes FROM exported").fetchone() != (text,):
        database.execute("DELETE FROM exported")
        database.execute("INSERT INTO exported VALUES (?)", (text,))
