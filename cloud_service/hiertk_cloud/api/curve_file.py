"""The file of the curves: SQLite that costs the service nothing, whatever the disk does.

Curves are worth less than anything else in the state folder: no fsync, and whatever goes wrong with
their file, the service goes on and they begin anew.
"""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

_VERSION = 1
_BUSY_S = 0.2  # the only other process here is a curious operator's sqlite3
_MEMORY = ":memory:"

Tell = Callable[[str, str], None]
Result = TypeVar("Result")


class CurveFile:
    """One connection; any thread may call. Never raises for what the disk does."""

    def __init__(
        self, path: Path, schema: Sequence[str], probes: Sequence[str], tell: Tell
    ) -> None:
        """Open the file or begin a new one.

        schema: statements that make the tables where they are missing. probes: queries without
        parameters that a file of ours answers. tell: gets ("history", text) when curves are lost.
        """
        self._path = path
        self._schema = schema
        self._probes = probes
        self._tell = tell
        self._lock = threading.Lock()
        self._has_gap = False
        self.database = self._open()
        self.beginnings = 1
        """How many files there were: another number says that nothing of before is there."""

    def do(
        self, work: Callable[[sqlite3.Connection], Result], otherwise: Result, *, what: str
    ) -> Result:
        """Return what the work returns; what is given, if the file fails. what: "be written"..."""
        with self._lock:
            try:
                result = work(self.database)
            except sqlite3.OperationalError as error:
                self._tell_of_gap(error)
            except sqlite3.Error as error:
                self._begin_anew(f"the curves could not {what} ({error})")
            else:
                self._has_gap = False
                return result
        return otherwise

    def close(self) -> None:
        """Close the file."""
        with self._lock, suppress(sqlite3.Error):
            self.database.close()

    def _tell_of_gap(self, error: sqlite3.Error) -> None:
        """Say once that points are missing: a disk that is full has not lost the others."""
        if not self._has_gap:
            self._has_gap = True
            self._tell("history", f"{self._path}: points of the curves are left out ({error})")

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect(self._path)
        except sqlite3.Error as error:
            return self._replacement(f"the curves cannot be read ({error})")

    def _begin_anew(self, reason: str) -> None:
        with suppress(sqlite3.Error):
            self.database.close()
        self.database = self._replacement(reason)
        self.beginnings += 1

    def _replacement(self, reason: str) -> sqlite3.Connection:
        """Return a new file's connection, or memory's where the disk takes none."""
        try:
            for path in (self._path, *(Path(f"{self._path}{end}") for end in ("-wal", "-shm"))):
                path.unlink(missing_ok=True)
            database = self._connect(self._path)
        except (OSError, sqlite3.Error) as error:
            self._tell("history", f"{self._path}: {reason}; they are kept in memory only ({error})")
            return self._connect(_MEMORY)
        self._tell("history", f"{self._path}: {reason}; they begin anew")
        return database

    def _connect(self, path: Path | str) -> sqlite3.Connection:
        """Open and check the file. Raises sqlite3.Error if it is damaged or of another version."""
        database = sqlite3.connect(
            path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            with closing(database.cursor()) as cursor:
                cursor.execute("PRAGMA journal_mode = WAL")
                cursor.execute("PRAGMA synchronous = OFF")
                _check(cursor)
                for statement in self._schema:
                    cursor.execute(statement)
                for probe in self._probes:
                    cursor.execute(probe).fetchone()
                cursor.execute(f"PRAGMA user_version = {_VERSION}")
        except BaseException:
            database.close()
            raise
        return database


def _check(cursor: sqlite3.Cursor) -> None:
    (version,) = cursor.execute("PRAGMA user_version").fetchone()
    if version not in (0, _VERSION):
        raise sqlite3.DatabaseError(f"it is of version {version}, not {_VERSION}")
    (verdict,) = cursor.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(str(verdict))
