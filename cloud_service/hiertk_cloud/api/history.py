"""The curves: loss and accuracy of both exits over the cloud steps, kept over restarts.

They are worth less than anything else in the state folder: no fsync, and whatever goes wrong with
their file, the service goes on and the curves begin anew.
"""

import math
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from hiertk_protocol.storage import transaction
from pydantic import BaseModel, ConfigDict

from hiertk_cloud.api.records import finite, mean_known
from hiertk_cloud.views.view import ServiceView

MAX_ROWS = 5_000
_EVERY_S = 5.0
_VERSION = 1
_BUSY_S = 0.2  # the only other process here is a curious operator's sqlite3
_MEMORY = ":memory:"

_MEASURES = (
    "early_exit_loss",
    "final_exit_loss",
    "early_exit_accuracy",
    "final_exit_accuracy",
    "early_exit_held_out_accuracy",
    "final_exit_held_out_accuracy",
)
_COLUMNS = ("time", "cloud_step", *_MEASURES)

# A row of a number used once is never another one: watchers ask for what came after theirs.
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS curves (
  row INTEGER PRIMARY KEY AUTOINCREMENT,
  time REAL NOT NULL,
  cloud_step INTEGER NOT NULL,
  {", ".join(f"{name} REAL" for name in _MEASURES)}
)
"""

_INSERT = f"INSERT INTO curves ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' for _ in _COLUMNS)})"  # noqa: S608

_AFTER = f"SELECT row, {', '.join(_COLUMNS)} FROM curves WHERE row > ? ORDER BY row"  # noqa: S608

_THIN = """
DELETE FROM curves WHERE row IN (
  SELECT row FROM (SELECT row, row_number() OVER (ORDER BY row) AS place FROM curves)
  WHERE place <= ? AND place % 2 = 0
)
"""

Tell = Callable[[str, str], None]


class Curves(BaseModel):
    """Points in the order of their cloud steps, a list per column.

    time: seconds since 1970. Losses in nats, accuracies as shares of 1; the early exit's are means
    over devices. None where nothing was measured.
    """

    model_config = ConfigDict(frozen=True)

    row: list[int] = []
    time: list[float] = []
    cloud_step: list[int] = []
    early_exit_loss: list[float | None] = []
    final_exit_loss: list[float | None] = []
    early_exit_accuracy: list[float | None] = []
    final_exit_accuracy: list[float | None] = []
    early_exit_held_out_accuracy: list[float | None] = []
    final_exit_held_out_accuracy: list[float | None] = []


class History:
    """The file of the curves; any thread may call. Never raises for what the disk does."""

    def __init__(
        self,
        path: Path,
        *,
        tell: Tell = lambda _kind, _text: None,
        every_s: float = _EVERY_S,
        max_rows: int = MAX_ROWS,
    ) -> None:
        """Open the file or begin a new one. tell: gets ("history", text) when curves are lost."""
        self._path = path
        self._tell = tell
        self._every_s = every_s
        self._max_rows = max_rows
        self._lock = threading.Lock()
        self._due = 0.0
        self._has_gap = False
        self._database = self._open()
        self.newest_row, self._newest_step = self._newest()

    def record(self, view: ServiceView) -> None:
        """Add a point if one is due and the cloud step has moved; call it every second or so."""
        now = time.monotonic()
        if now < self._due:
            return
        snapshot = view.snapshot()
        step = snapshot.progress.cloud_step
        if step == self._newest_step or math.isnan(snapshot.measures.loss):
            return
        self._due = now + self._every_s
        devices = view.devices()
        held_out = snapshot.held_out
        measures = (
            mean_known([one.early_exit_loss for one in devices]),
            finite(snapshot.measures.loss),
            mean_known([one.early_exit_accuracy for one in devices]),
            finite(snapshot.measures.accuracy),
            finite(held_out.early_exit),
            finite(held_out.final_exit),
        )
        with self._lock:
            try:
                self._add(step, measures)
            except sqlite3.OperationalError as error:
                self._tell_of_gap(error)
            except sqlite3.Error as error:
                self._begin_anew(f"a point of the curves could not be written ({error})")
            else:
                self._has_gap = False

    def rows(self, after: int = 0) -> Curves:
        """Return the points after a row; all of them by default."""
        with self._lock:
            try:
                found = self._database.execute(_AFTER, (after,)).fetchall()
            except sqlite3.OperationalError as error:
                self._tell_of_gap(error)
                found = []
            except sqlite3.Error as error:
                self._begin_anew(f"the curves could not be read ({error})")
                found = []
        names = ("row", *_COLUMNS)
        columns = zip(*found, strict=True) if found else ([] for _ in names)
        return Curves.model_validate(dict(zip(names, map(list, columns), strict=True)))

    def close(self) -> None:
        """Close the file."""
        with self._lock, suppress(sqlite3.Error):
            self._database.close()

    def _add(self, step: int, measures: tuple[float | None, ...]) -> None:
        with transaction(self._database):
            # After a crash the trainer goes back to its checkpoint, and the curves with it.
            self._database.execute("DELETE FROM curves WHERE cloud_step >= ?", (step,))
            added = self._database.execute(_INSERT, (time.time(), step, *measures))
            (count,) = self._database.execute("SELECT count(*) FROM curves").fetchone()
            if count > self._max_rows:
                self._database.execute(_THIN, (self._max_rows // 2,))
        self.newest_row, self._newest_step = added.lastrowid or 0, step

    def _tell_of_gap(self, error: sqlite3.Error) -> None:
        """Say once that points are missing: a disk that is full has not lost the others."""
        if not self._has_gap:
            self._has_gap = True
            self._tell("history", f"{self._path}: points of the curves are left out ({error})")

    def _newest(self) -> tuple[int, int]:
        newest = "SELECT row, cloud_step FROM curves ORDER BY row DESC LIMIT 1"
        found: tuple[int, int] | None = self._database.execute(newest).fetchone()
        return found or (0, -1)

    def _open(self) -> sqlite3.Connection:
        try:
            return _connect(self._path)
        except sqlite3.Error as error:
            return self._replacement(f"the curves cannot be read ({error})")

    def _begin_anew(self, reason: str) -> None:
        with suppress(sqlite3.Error):
            self._database.close()
        self._database = self._replacement(reason)
        self.newest_row, self._newest_step = self._newest()

    def _replacement(self, reason: str) -> sqlite3.Connection:
        """Return a new file's connection, or memory's where the disk takes none."""
        try:
            for path in (self._path, *(Path(f"{self._path}{end}") for end in ("-wal", "-shm"))):
                path.unlink(missing_ok=True)
            database = _connect(self._path)
        except (OSError, sqlite3.Error) as error:
            self._tell("history", f"{self._path}: {reason}; they are kept in memory only ({error})")
            return _connect(_MEMORY)
        self._tell("history", f"{self._path}: {reason}; they begin anew")
        return database


def _connect(path: Path | str) -> sqlite3.Connection:
    """Open and check the file. Raises sqlite3.Error if it is damaged or of another version."""
    database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        with closing(database.cursor()) as cursor:
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = OFF")
            _check(cursor)
            cursor.execute(_SCHEMA)
            cursor.execute(_AFTER, (0,)).fetchone()
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
