"""The curves: loss and accuracy of both exits over the cloud steps, kept over restarts."""

import math
import sqlite3
import time
from pathlib import Path

from hiertk_protocol.storage import transaction
from pydantic import BaseModel, ConfigDict

from hiertk_cloud.api import class_points
from hiertk_cloud.api.class_points import ClassHistory
from hiertk_cloud.api.curve_file import CurveFile, Tell
from hiertk_cloud.api.records import finite, mean_known
from hiertk_cloud.views.view import ServiceView

MAX_ROWS = 5_000
_EVERY_S = 5.0

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

_SELECT = f"SELECT row, {', '.join(_COLUMNS)} FROM curves"  # noqa: S608

_NEWEST = "SELECT row, cloud_step FROM curves ORDER BY row DESC LIMIT 1"

_THIN = """
DELETE FROM curves WHERE row IN (
  SELECT row FROM (SELECT row, row_number() OVER (ORDER BY row) AS place FROM curves)
  WHERE place <= ? AND place % 2 = 0
)
"""


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
    """The curves in their file; any thread may call. Never raises for what the disk does.

    classes: the same for each class.
    """

    def __init__(
        self,
        path: Path,
        *,
        tell: Tell = lambda _kind, _text: None,
        every_s: float = _EVERY_S,
        max_rows: int = MAX_ROWS,
    ) -> None:
        """Open the file or begin a new one. tell: gets ("history", text) when curves are lost."""
        schema = (_SCHEMA, *class_points.SCHEMA)
        self._file = CurveFile(path, schema, (_SELECT, *class_points.PROBES), tell)
        self._every_s = every_s
        self._max_rows = max_rows
        self._due = 0.0
        self._beginning = self._file.beginnings
        self.newest_row, self._newest_step = self._newest()
        self.classes = ClassHistory(self._file, every_s=every_s)

    def record(self, view: ServiceView) -> None:
        """Add the points that are due, where something has changed; call it every second or so."""
        self.classes.record(view)
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
        row = self._file.do(
            lambda database: self._add(database, step, measures), None, what="be written"
        )
        if row is not None:
            self.newest_row, self._newest_step = row, step
        self._notice_a_new_file()

    def rows(self, after: int = 0) -> Curves:
        """Return the points after a row; all of them by default."""
        query = f"{_SELECT} WHERE row > ? ORDER BY row"
        none: list[tuple[float | None, ...]] = []
        found = self._file.do(
            lambda database: database.execute(query, (after,)).fetchall(), none, what="be read"
        )
        self._notice_a_new_file()
        names = ("row", *_COLUMNS)
        columns = zip(*found, strict=True) if found else ([] for _ in names)
        return Curves.model_validate(dict(zip(names, map(list, columns), strict=True)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _add(
        self, database: sqlite3.Connection, step: int, measures: tuple[float | None, ...]
    ) -> int:
        with transaction(database):
            # After a crash the trainer goes back to its checkpoint, and the curves with it.
            database.execute("DELETE FROM curves WHERE cloud_step >= ?", (step,))
            added = database.execute(_INSERT, (time.time(), step, *measures))
            (count,) = database.execute("SELECT count(*) FROM curves").fetchone()
            if count > self._max_rows:
                database.execute(_THIN, (self._max_rows // 2,))
        return added.lastrowid or 0

    def _notice_a_new_file(self) -> None:
        if self._file.beginnings != self._beginning:
            self._beginning = self._file.beginnings
            self.newest_row, self._newest_step = self._newest()

    def _newest(self) -> tuple[int, int]:
        found: tuple[int, int] | None = self._file.do(
            lambda database: database.execute(_NEWEST).fetchone(), None, what="be read"
        )
        return found or (0, -1)
