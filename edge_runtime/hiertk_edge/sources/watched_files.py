"""Remembering across restarts which files of a watched folder are done with, in SQLite."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

from hiertk_protocol.errors import StorageError

from hiertk_edge.damaged_file import DamagedError, reporting, set_aside

Outcome = Literal["taken", "bad", "unreadable", "mislabelled"]

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE folders (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE);
CREATE TABLE files (
    folder INTEGER NOT NULL, name BLOB NOT NULL CHECK (typeof(name) = 'blob'),
    stamp TEXT NOT NULL, outcome TEXT NOT NULL, PRIMARY KEY (folder, name)
) WITHOUT ROWID;
"""
# What may have been put right without touching the file: other rights, other classes.
_FORGET_AT_START = "DELETE FROM files WHERE outcome IN ('unreadable', 'mislabelled')"
_PRUNED_AT_ONCE = 1000
_WHAT = "list of watched files"  # without it, its images count as new ones


class WatchedFiles:
    """Files by folder and name, with the stamp (sizes and times) that they had.

    One thread at a time may use it. Changes are kept by the next save(): one write for many files
    spares an SD card.
    """

    def __init__(self, path: Path) -> None:
        """Open or create it; a damaged one is set aside, since all it costs is taking files twice.

        Raises StorageError if the disk refuses.
        """
        self._path = path
        self._has_failed = False
        self._is_closed = False
        try:
            self._database = _open(path)
        except DamagedError as error:
            set_aside(path, _WHAT, error)
            self._database = _open(path)

    def folder(self, path: bytes) -> int:
        """Return a folder's number."""
        with self._reporting():
            self._database.execute("INSERT OR IGNORE INTO folders (path) VALUES (?)", (path,))
            self._database.commit()
            query = "SELECT id FROM folders WHERE path = ?"
            (number,) = self._database.execute(query, (path,)).fetchone()
            return int(number)

    def known(self, folder: int, name: bytes) -> tuple[str, str] | None:
        """Return a file's stamp and outcome; None for a new one."""
        query = "SELECT stamp, outcome FROM files WHERE folder = ? AND name = ?"
        row: tuple[str, str] | None
        try:  # without _reporting(), which would double the time: this is asked for every file
            row = self._database.execute(query, (folder, name)).fetchone()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return row

    def remember(self, folder: int, name: bytes, stamp: str, outcome: Outcome) -> None:
        """Note what became of a file."""
        with self._reporting():
            self._database.execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (folder, name, stamp, outcome)
            )

    def save(self) -> None:
        """Write what was changed."""
        with self._reporting():
            self._database.commit()

    def check(self) -> None:
        """Raise StorageError if the last write failed and the next one would too."""
        if self._has_failed:
            with self._reporting():
                self._database.rollback()
                self._database.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
                self._database.commit()
            self._has_failed = False

    def forget_mislabelled(self) -> None:
        """Forget the files that were of no class, for another try."""
        with self._reporting():
            self._database.execute("DELETE FROM files WHERE outcome = 'mislabelled'")
            self._database.commit()

    def forget_unreadable(self) -> None:
        """Forget the files that could not be read, for another try."""
        with self._reporting():
            self._database.execute("DELETE FROM files WHERE outcome = 'unreadable'")
            self._database.commit()

    def count(self, folder: int) -> int:
        """Return how many files of a folder are known."""
        with self._reporting():
            query = "SELECT count(*) FROM files WHERE folder = ?"
            (number,) = self._database.execute(query, (folder,)).fetchone()
            return int(number)

    def has_mislabelled(self, folder: int) -> bool:
        """Return whether a folder has files of no class."""
        query = "SELECT 1 FROM files WHERE folder = ? AND outcome = 'mislabelled' LIMIT 1"
        with self._reporting():
            return self._database.execute(query, (folder,)).fetchone() is not None

    def prune(self, folder: int, gone: Callable[[list[bytes]], list[bytes]]) -> None:
        """Forget files. gone: picks those to forget from some names; raises OSError."""
        last = b""
        query = "SELECT name FROM files WHERE folder = ? AND name > ? ORDER BY name LIMIT ?"
        with self._reporting():
            while rows := self._database.execute(query, (folder, last, _PRUNED_AT_ONCE)).fetchall():
                names = [row[0] for row in rows]
                last = names[-1]
                self._database.executemany(
                    "DELETE FROM files WHERE folder = ? AND name = ?",
                    [(folder, name) for name in gone(names)],
                )

    def forget(self, folder: int) -> None:
        """Forget all files of a folder."""
        with self._reporting():
            self._database.execute("DELETE FROM files WHERE folder = ?", (folder,))

    def close(self) -> None:
        """Save and close, once; nothing else may be called afterwards."""
        if self._is_closed:
            return
        self._is_closed = True
        with closing(self._database), self._reporting():
            self._database.commit()

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> StorageError:
        self._has_failed = True
        return StorageError(f"{self._path}: {error}: free some space, or move the file away")


def _open(path: Path) -> sqlite3.Connection:
    with reporting(path):
        database = sqlite3.connect(path, check_same_thread=False)
        try:
            _prepare(database)
        except BaseException:
            database.close()
            raise
        return database


def _prepare(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA journal_size_limit = 1048576")
    database.execute("PRAGMA cache_size = -256")  # KiB: memory is dear
    (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if verdict != "ok" or version not in (0, _SCHEMA_VERSION):
        raise sqlite3.DatabaseError(f"version {version}, {verdict}")
    if version == 0:
        database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")
    database.execute(_FORGET_AT_START)
    database.commit()
