"""Opening the log's file: new, of an older version, or damaged."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hiertk_cloud.log.file import (
    SCHEMA_VERSION,
    LogDamagedError,
    check_owner,
    check_version,
    connect,
    create,
    reporting_damage,
    version_of,
)
from hiertk_cloud.log.migrations import migrate
from hiertk_cloud.log.repair import repair

# Larger files are checked in the background while the service works (check.py).
_CHECKED_AT_ONCE_BYTES = 256 << 20

Tell = Callable[[str], None]


def open_file(path: Path, bundle_id: bytes, consumed: int, tell: Tell) -> sqlite3.Connection:
    """Open the log's file, ready to be written to.

    Raises ConfigError if it belongs to another bundle, StorageError.
    """
    marker = damage_marker(path)
    if not marker.exists():
        try:
            return _open(path, bundle_id, tell)
        except LogDamagedError as error:
            tell(f"{error}")
    repair(path, bundle_id, consumed, tell)
    marker.unlink(missing_ok=True)
    return _open(path, bundle_id, tell)


def damage_marker(path: Path) -> Path:
    """Return the file whose presence says that the log is to be repaired when it is opened."""
    return path.with_name(f"{path.name}.damaged")


@contextmanager
def marking_damage(path: Path) -> Iterator[None]:
    """Let the next opening repair a log whose damage ends the block."""
    try:
        yield
    except LogDamagedError:
        damage_marker(path).touch()
        raise


def _open(path: Path, bundle_id: bytes, tell: Tell) -> sqlite3.Connection:
    database = connect(path)
    try:
        with reporting_damage(path):
            _prepare(database, path, bundle_id, tell)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, path: Path, bundle_id: bytes, tell: Tell) -> None:
    version = version_of(database)
    if version is None:
        create(database, bundle_id)
        return
    check_version(version, path)
    check_owner(database, path, bundle_id)
    if version < SCHEMA_VERSION:
        migrate(database, path, version, tell)
    if path.stat().st_size <= _CHECKED_AT_ONCE_BYTES:
        (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise LogDamagedError(f"{path}: {str(found)[:200]}: it is being repaired")
