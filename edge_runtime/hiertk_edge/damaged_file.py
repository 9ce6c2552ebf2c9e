"""A database of the state folder that is damaged: saying so, and setting it aside.

A device stands where nobody is. What a power cut has torn must not keep it from starting, and what
is left of it is kept for whoever wants to look.
"""

import glob
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hiertk_protocol.errors import StorageError

_log = logging.getLogger(__name__)


class DamagedError(StorageError):
    """The file is not what was written."""


@contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Turn what SQLite and the disk raise into DamagedError or StorageError, naming the file."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}: make the state folder writable") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise DamagedError(f"{path}: {error}") from error
    except sqlite3.Error as error:
        if _is_damage(error):
            raise DamagedError(f"{path}: {error}") from error
        raise StorageError(f"{path}: {error}: free some space on this disk") from error


def set_aside(path: Path, what: str, damage: DamagedError) -> None:
    """Rename a damaged file to PATH.damaged-N, and say so; an earlier one is removed.

    what: what the file is. Raises StorageError.
    """
    earlier = _set_aside_before(path)
    numbers = [_number(one.name.rpartition("-")[2]) for one in earlier]
    aside = path.with_name(f"{path.name}.damaged-{max(numbers, default=0) + 1}")
    with _removing(path):
        path.rename(aside)
        for old in (*earlier, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
            old.unlink(missing_ok=True)
    _log.warning("the %s is damaged (%s): it is now %s, and a new one begins", what, damage, aside)


def remove_set_aside(path: Path) -> None:
    """Remove what was set aside. Raises StorageError."""
    with _removing(path):
        for one in _set_aside_before(path):
            one.unlink(missing_ok=True)


def _set_aside_before(path: Path) -> list[Path]:
    return list(path.parent.glob(f"{glob.escape(path.name)}.damaged-*"))


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0


@contextmanager
def _removing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}: damaged, and cannot be removed: {error.strerror}: remove it by hand"
        ) from error


def _is_damage(error: sqlite3.Error) -> bool:
    # Python 3.10 does not tell SQLite's error code; what the disk refuses is an OperationalError.
    if not isinstance(error, sqlite3.OperationalError | sqlite3.ProgrammingError):
        return True
    return any(sign in str(error) for sign in ("no such", "malformed", "unsupported", "has no"))
