"""The memory's file: its tables, and what is read and written.

A row of `cells` is overwritten where it is and never deleted. So the file does not grow beyond its
cells, and a new sample changes as few pages as can be: one, where it fits into one.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hiertk_protocol.private_files import OWNER_ONLY
from hiertk_protocol.storage import transaction

from hiertk_edge.classes.table import ClassInSlot
from hiertk_edge.damaged_file import reporting
from hiertk_edge.rehearsal import rows
from hiertk_edge.rehearsal.cells import WIPED, Head
from hiertk_edge.rehearsal.exported import FirstSample
from hiertk_edge.rehearsal.labels import MOST_LABELS, NOWHERE, LabelRow
from hiertk_edge.rehearsal.reservoir import ClassState
from hiertk_edge.rehearsal.room import HEAD_BYTES, MOST_SAMPLES, PAGE_BYTES, WAL_PAGES
from hiertk_edge.rehearsal.schema import (
    FROM_1,
    SCHEMA,
    SCHEMA_VERSION,
    FirstOwner,
    Owner,
    Progress,
    are_counts,
    is_sha256,
)

_CACHE_KIB = 256
_CHECKED_BYTES = 64 << 20  # larger files are not read through at the start, only as they are used
_WHOLE = """
    typeof(head) = 'blob' AND length(head) = ? AND typeof(pixels) = 'blob' AND length(pixels) = ?
"""


class MemoryFile:
    """The open file. One thread at a time."""

    def __init__(self, path: Path, sample_bytes: int) -> None:
        """Open or create the file, for its owner's eyes only.

        Raises DamagedError, StorageError.
        """
        self._path = path
        self._sample_bytes = sample_bytes
        with self._reporting():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, OWNER_ONLY))
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            with self._reporting():
                self._set_up()
        except BaseException:
            self._database.close()
            raise

    def size(self) -> int:
        """Return the bytes that the files take on the disk now."""
        names = (self._path.with_name(self._path.name + end) for end in ("", "-wal", "-shm"))
        return sum(name.stat().st_size for name in names if name.exists())

    def create(self, owner: Owner, seed: int, samples: Iterable[FirstSample] = ()) -> None:
        """Make the tables of a new file, and put its first samples in: all or nothing."""
        with self._reporting(), transaction(self._database):
            for statement in SCHEMA.split(";\n"):
                self._database.execute(statement)
            self._database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            rows.write_owner(self._database, owner)
            through = rows.begin_with(self._database, samples)
            self._database.execute("INSERT INTO progress VALUES (?, 0, ?)", (seed, through))
        with self._reporting():
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def check(self) -> None:
        """Refuse what is no whole memory. Raises DamagedError."""
        with self._reporting():
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if version not in (1, SCHEMA_VERSION):
                raise ValueError(f"version {version}, this is {SCHEMA_VERSION}")
            if self._path.stat().st_size <= _CHECKED_BYTES:
                (found,) = self._database.execute("PRAGMA quick_check(1)").fetchone()
                if found != "ok":
                    raise ValueError(str(found)[:200])

    @property
    def is_new(self) -> bool:
        """Whether there are no tables yet."""
        with self._reporting():
            row = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return bool(row[0] == 0)

    @property
    def is_of_schema_1(self) -> bool:
        """Whether it has no labels yet."""
        with self._reporting():
            row = self._database.execute("PRAGMA user_version").fetchone()
            return bool(row[0] == 1)

    def first_owner(self) -> FirstOwner:
        """Read whose samples these are, in schema 1."""
        with self._reporting():
            query = "SELECT bundle_id, input_size, class_count, class_names FROM owner LIMIT 2"
            ((bundle_id, input_size, count, names),) = self._database.execute(query).fetchall()
            if not (is_sha256(bundle_id) and is_sha256(names) and are_counts(input_size, count)):
                raise ValueError("its owner is damaged")
            return FirstOwner(Owner(bundle_id, input_size), count, names)

    def upgrade(self, owner: Owner, labels: Mapping[int, LabelRow]) -> None:
        """Bring schema 1 up to date. labels: what its slots stand for."""
        with self._reporting(), transaction(self._database):
            for statement in FROM_1.split(";\n"):
                self._database.execute(statement)
            rows.write_owner(self._database, owner)
            rows.write_labels(self._database, labels)
            self._database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def owner(self) -> Owner:
        """Read whose samples these are."""
        with self._reporting():
            query = "SELECT bundle_id, input_size FROM owner LIMIT 2"
            ((bundle_id, input_size),) = self._database.execute(query).fetchall()
            if not (is_sha256(bundle_id) and are_counts(input_size)):
                raise ValueError("its owner is damaged")
            return Owner(bundle_id, input_size)

    def hand_over(self, owner: Owner, labels: Mapping[int, LabelRow]) -> None:
        """Write whose samples these are from now on, and what their labels stand for."""
        with self._reporting(), transaction(self._database):
            self._database.execute("DELETE FROM owner")
            rows.write_owner(self._database, owner)
            rows.write_labels(self._database, labels)

    def labels(self) -> dict[int, LabelRow]:
        """Read what the samples' labels stand for."""
        with self._reporting():
            query = "SELECT label, slot, name, since FROM labels LIMIT ?"
            found = self._database.execute(query, (MOST_LABELS,)).fetchall()
            if not all(_is_label(*row) for row in found):
                raise ValueError("its labels are damaged")
            return {
                label: LabelRow(slot, ClassInSlot(name, since))
                for label, slot, name, since in found
            }

    def relabel(self, labels: Mapping[int, LabelRow], classes: Mapping[int, ClassState]) -> None:
        """Write what the labels stand for now, and the counts by the slots of now."""
        with self._reporting(), transaction(self._database):
            rows.write_labels(self._database, labels)
            self._database.execute("DELETE FROM classes")
            rows.write_classes(self._database, classes)

    def drop_labels(self, labels: Sequence[int]) -> None:
        """Forget labels whose samples are wiped, and empty the log of what was written before."""
        with self._reporting():
            with transaction(self._database):
                self._database.executemany(
                    "DELETE FROM labels WHERE label = ?", [(label,) for label in labels]
                )
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def progress(self) -> Progress:
        """Read how far training has come."""
        with self._reporting():
            query = "SELECT seed, batches, through FROM progress LIMIT 2"
            (row,) = self._database.execute(query).fetchall()
            if not are_counts(*row):
                raise ValueError("its progress is damaged")
            return Progress(*row)

    def classes(self) -> dict[int, ClassState]:
        """Read what the reservoir must remember of each class."""
        with self._reporting():
            found = self._database.execute("SELECT slot, seen, is_full FROM classes").fetchall()
            if not all(are_counts(*row) for row in found):
                raise ValueError("its counts of classes are damaged")
            return {slot: ClassState(seen, bool(is_full)) for slot, seen, is_full in found}

    def cell_count(self) -> int:
        """Return one more than the last cell that was ever used."""
        with self._reporting():
            query = "SELECT max(cell) FROM cells WHERE cell BETWEEN 0 AND ?"
            (last,) = self._database.execute(query, (MOST_SAMPLES - 1,)).fetchone()
            return 0 if last is None else int(last) + 1

    def heads(self) -> Iterator[tuple[int, Head | None]]:
        """Yield each cell and who is in it; None for a damaged row."""
        query = f"""
            SELECT cell, CASE WHEN {_WHOLE} THEN head END FROM cells WHERE cell BETWEEN 0 AND ?
        """  # noqa: S608
        with self._reporting():
            parameters = (HEAD_BYTES, self._sample_bytes, MOST_SAMPLES - 1)
            for cell, head in self._database.execute(query, parameters):
                yield cell, Head.of(head) if head is not None else None

    def kept(self, count: int) -> npt.NDArray[np.bool_]:
        """Read which of the first `count` cells are in the reservoir."""
        kept = np.zeros(count, np.bool_)
        with self._reporting():
            query = "SELECT cell FROM kept WHERE cell BETWEEN 0 AND ?"
            for (cell,) in self._database.execute(query, (count - 1,)):
                kept[cell] = True
        return kept

    def read(self, cell: int) -> tuple[Head, bytes] | None:
        """Read a cell; None if its row is missing or has another size."""
        query = f"SELECT head, pixels FROM cells WHERE {_WHOLE} AND cell = ?"  # noqa: S608
        with self._reporting():
            parameters = (HEAD_BYTES, self._sample_bytes, cell)
            row = self._database.execute(query, parameters).fetchone()
            return (Head.of(row[0]), row[1]) if row else None

    def write(self, cell: int, head: Head, pixels: bytes, row: LabelRow | None = None) -> None:
        """Put a sample into a cell, in place of whoever was there.

        row: what its label stands for, if it is a new one.
        """
        with self._reporting(), transaction(self._database):
            rows.write_cell(self._database, cell, head, pixels)
            if row is not None:
                rows.add_labels(self._database, {head.label: row})

    def settle(
        self,
        joined: Sequence[int],
        left: Sequence[int],
        classes: Mapping[int, ClassState],
        progress: Progress,
    ) -> None:
        """Write what training a batch changes: who joined the reservoir, and who left."""
        with self._reporting(), transaction(self._database):
            for statement, cells in (
                ("DELETE FROM kept WHERE cell = ?", left),
                ("INSERT OR IGNORE INTO kept VALUES (?)", joined),
            ):
                self._database.executemany(statement, [(cell,) for cell in cells])
            rows.write_classes(self._database, classes)
            self._database.execute(
                "UPDATE progress SET batches = ?, through = ?",
                (progress.batches, progress.through),
            )

    def wipe(self, cells: Sequence[int]) -> None:
        """Overwrite samples; nothing of them stays in the file."""
        empty = bytes(self._sample_bytes)
        with self._reporting(), transaction(self._database):
            for cell in cells:
                rows.write_cell(self._database, cell, WIPED, empty)
                self._database.execute("DELETE FROM kept WHERE cell = ?", (cell,))

    def forget(self, slot: int) -> None:
        """Forget a class's counts, and empty the log of what was written before."""
        with self._reporting():
            self._database.execute("DELETE FROM classes WHERE slot = ?", (slot,))
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def cut(self, moves: Mapping[int, int], count: int) -> None:
        """Move samples to other cells, then cut the file behind its first `count` cells."""
        with self._reporting():
            with transaction(self._database):
                for source, target in moves.items():
                    for table in ("cells", "kept"):
                        self._database.execute(f"DELETE FROM {table} WHERE cell = ?", (target,))  # noqa: S608
                        self._database.execute(
                            f"UPDATE {table} SET cell = ? WHERE cell = ?",  # noqa: S608
                            (target, source),
                        )
                for table in ("cells", "kept"):
                    self._database.execute(f"DELETE FROM {table} WHERE cell >= ?", (count,))  # noqa: S608
            self._database.execute("VACUUM")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._reporting():
            self._database.close()

    def _set_up(self) -> None:
        for setting in (
            f"page_size = {PAGE_BYTES}",
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "secure_delete = ON",
            f"cache_size = -{_CACHE_KIB}",
            f"wal_autocheckpoint = {WAL_PAGES}",
            f"journal_size_limit = {WAL_PAGES * PAGE_BYTES}",
        ):
            self._database.execute(f"PRAGMA {setting}").fetchall()

    def _reporting(self) -> AbstractContextManager[None]:
        return reporting(self._path)


def _is_label(label: object, slot: object, name: object, since: object) -> bool:
    if not (are_counts(label, since) and isinstance(name, str) and isinstance(slot, int)):
        return False
    return NOWHERE <= slot < MOST_LABELS
