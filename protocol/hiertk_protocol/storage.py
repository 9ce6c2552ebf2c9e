"""What the device's spool and the cloud's log have in common: a locked folder, a transaction."""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hiertk_protocol.errors import ConfigError, StorageError


@contextmanager
def locked_folder(path: Path) -> Iterator[Path]:
    """Make a state folder and hold it for this process.

    Raises ConfigError if another process holds it, StorageError if it cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / "lock").open("w")
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}: choose another --state folder") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"{path} is in use by another process: stop that one, or choose another --state"
            ) from error
        yield path


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block does, or nothing of it."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        # A failed COMMIT may have ended the transaction already.
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
