"""Each class over time: when it came, how well both exits knew it at best, and its curves.

A class that was merged or retired stays here by its name. Whatever is shown under another class map
later, a class is known by its slot and the version that gave it the slot.
"""

import sqlite3
import time

from hiertk_protocol.class_map import ClassMap
from hiertk_protocol.storage import transaction

from hiertk_cloud.api.class_marks import Best, ClassCurves, ClassMark, better
from hiertk_cloud.api.curve_file import CurveFile
from hiertk_cloud.training.confusion import Evaluation, Origin
from hiertk_cloud.views.view import ServiceView

MAX_POINTS = 2_000
MAX_ROWS = 100_000
MAX_GONE = 200

_CLASSES = """
CREATE TABLE IF NOT EXISTS classes (
  slot INTEGER NOT NULL,
  since INTEGER NOT NULL,
  name TEXT NOT NULL,
  came REAL NOT NULL,
  came_at_step INTEGER NOT NULL,
  gone REAL,
  samples INTEGER NOT NULL DEFAULT 0,
  early_exit REAL,
  final_exit REAL,
  early_exit_best REAL,
  early_exit_best_samples INTEGER,
  final_exit_best REAL,
  final_exit_best_samples INTEGER,
  PRIMARY KEY (slot, since)
) WITHOUT ROWID
"""
_POINTS = """
CREATE TABLE IF NOT EXISTS class_points (
  slot INTEGER NOT NULL,
  since INTEGER NOT NULL,
  point INTEGER NOT NULL,
  time REAL NOT NULL,
  cloud_step INTEGER NOT NULL,
  samples INTEGER NOT NULL,
  early_exit REAL,
  final_exit REAL,
  PRIMARY KEY (slot, since, point)
) WITHOUT ROWID
"""
_SELECT_CLASSES = """
SELECT slot, since, name, came, came_at_step, gone, samples, early_exit, final_exit,
  early_exit_best, early_exit_best_samples, final_exit_best, final_exit_best_samples FROM classes
"""
_SELECT_POINTS = (
    "SELECT time, cloud_step, samples, early_exit, final_exit FROM class_points "
    "WHERE slot = ? AND since = ? ORDER BY point"
)
_COME = """
INSERT INTO classes (slot, since, name, came, came_at_step) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET name = excluded.name, gone = NULL
"""
_FORGET = """
DELETE FROM classes WHERE gone IS NOT NULL AND (slot, since) NOT IN (
  SELECT slot, since FROM classes WHERE gone IS NOT NULL ORDER BY gone DESC LIMIT ?
)
"""
_FORGET_POINTS = (
    "DELETE FROM class_points WHERE (slot, since) NOT IN (SELECT slot, since FROM classes)"
)
_MEASURED = """
UPDATE classes SET samples = ?, early_exit = ?, final_exit = ?, early_exit_best = ?,
  early_exit_best_samples = ?, final_exit_best = ?, final_exit_best_samples = ?
WHERE slot = ? AND since = ?
"""
_THIN = """
DELETE FROM class_points WHERE point IN (
  SELECT point FROM (
    SELECT point, row_number() OVER (ORDER BY point) AS place, count(*) OVER () AS points
    FROM (SELECT DISTINCT point FROM class_points)
  ) WHERE 2 * place <= points AND place % 2 = 0
)
"""

SCHEMA = (_CLASSES, _POINTS)
PROBES = (_SELECT_CLASSES, "SELECT point, slot, since, time, samples FROM class_points")


class ClassHistory:
    """The classes' part of the file of the curves; any thread may call."""

    def __init__(
        self,
        file: CurveFile,
        *,
        every_s: float,
        max_points: int = MAX_POINTS,
        max_rows: int = MAX_ROWS,
    ) -> None:
        self._file = file
        self._every_s = every_s
        self._max_points = max_points
        self._max_rows = max_rows
        self._due = 0.0
        self._recorded: tuple[int, int, int] | None = None

    def record(self, view: ServiceView) -> None:
        """Note which classes there are, and add a point if one is due and something was measured.

        After a crash the trainer goes back to its checkpoint, and the points with it; what was best
        stays: the same batches lead there again.
        """
        now = time.monotonic()
        if now < self._due:
            return
        classes, evaluation = view.classes().newest, view.evaluation()
        number = 0 if evaluation is None else evaluation.number
        news = (self._file.beginnings, classes.version, number)
        if news == self._recorded:
            return
        self._due = now + self._every_s
        step = view.snapshot().progress.cloud_step

        def write(database: sqlite3.Connection) -> bool:
            with transaction(database):
                _follow(database, classes, step)
                if evaluation is not None:
                    self._add(database, evaluation, step)
            return True

        if self._file.do(write, otherwise=False, what="be written"):
            self._recorded = news

    def marks(self) -> list[ClassMark]:
        """Return every class that is known, those that are gone included, by slot and version."""
        return self._file.do(_marks, [], what="be read")

    def curves(self, slot: int, since: int | None = None) -> ClassCurves | None:
        """Return the curves of a class; by default of the one that had the slot last."""
        marks = [mark for mark in self.marks() if mark.slot == slot]
        found = [mark for mark in marks if since in (None, mark.since)]
        if not found:
            return None
        mark = max(found, key=lambda one: one.since)
        none: list[tuple[float, ...]] = []
        rows = self._file.do(
            lambda database: database.execute(_SELECT_POINTS, (slot, mark.since)).fetchall(),
            none,
            what="be read",
        )
        names = ("time", "cloud_step", "samples", "early_exit_accuracy", "final_exit_accuracy")
        named = dict(zip(names, map(list, zip(*rows, strict=True)), strict=False))
        return ClassCurves.model_validate(
            {"slot": slot, "since": mark.since, "name": mark.name, **named}
        )

    def _add(self, database: sqlite3.Connection, evaluation: Evaluation, step: int) -> None:
        database.execute("DELETE FROM class_points WHERE cloud_step >= ?", (step,))
        (point,) = database.execute("SELECT max(point) FROM class_points").fetchone()
        marks = {(mark.slot, mark.since): mark for mark in _marks(database)}
        now = time.time()
        for place, entry in enumerate(evaluation.classes.slots):
            samples = int(evaluation.samples[place])
            if not samples:
                continue
            early_exit = float(evaluation.early_exit[place, place]) / samples
            final_exit = float(evaluation.final_exit[place, place]) / samples
            measures = (samples, early_exit, final_exit)
            row = (entry.slot, entry.since, (point or 0) + 1, now, step, *measures)
            database.execute("INSERT INTO class_points VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            mark = marks[entry.slot, entry.since]
            early_exit_best = better(mark.early_exit_best, Best(early_exit, samples))
            final_exit_best = better(mark.final_exit_best, Best(final_exit, samples))
            values = (*measures, *early_exit_best, *final_exit_best, entry.slot, entry.since)
            database.execute(_MEASURED, values)
        counts = "SELECT count(DISTINCT point), count(*) FROM class_points"
        points, rows = database.execute(counts).fetchone()
        if points > self._max_points or rows > self._max_rows:
            database.execute(_THIN)


def _follow(database: sqlite3.Connection, classes: ClassMap, step: int) -> None:
    """Note the classes of a map, and which of before it has no more."""
    now = time.time()
    there: set[Origin] = {(entry.slot, entry.since) for entry in classes.slots}
    known = {(mark.slot, mark.since): mark for mark in _marks(database)}
    for entry in classes.slots:
        mark = known.get((entry.slot, entry.since))
        if mark is None or mark.name != entry.name or mark.gone is not None:
            database.execute(_COME, (entry.slot, entry.since, entry.name, now, step))
    gone = [origin for origin, mark in known.items() if origin not in there and mark.gone is None]
    for origin in gone:
        database.execute("UPDATE classes SET gone = ? WHERE slot = ? AND since = ?", (now, *origin))
    if gone:
        database.execute(_FORGET, (MAX_GONE,))
        database.execute(_FORGET_POINTS)


def _marks(database: sqlite3.Connection) -> list[ClassMark]:
    return [
        ClassMark._make((*row[:9], _best(*row[9:11]), _best(*row[11:13])))
        for row in database.execute(_SELECT_CLASSES + " ORDER BY slot, since")
    ]


def _best(accuracy: float | None, samples: int | None) -> Best | None:
    return None if accuracy is None or samples is None else Best(accuracy, samples)
