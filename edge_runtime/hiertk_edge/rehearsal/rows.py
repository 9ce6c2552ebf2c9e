"""Writing rows of the memory's file; the caller holds the transaction."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping

from hiertk_edge.rehearsal.cells import Head
from hiertk_edge.rehearsal.exported import FirstSample
from hiertk_edge.rehearsal.labels import LabelRow
from hiertk_edge.rehearsal.reservoir import ClassState
from hiertk_edge.rehearsal.schema import Owner


def begin_with(database: sqlite3.Connection, samples: Iterable[FirstSample]) -> int:
    """Put samples into new tables, as if trained on, and return the number of the last one."""
    labels: dict[int, LabelRow] = {}
    seen: Counter[int] = Counter()
    last = 0
    for cell, sample in enumerate(samples):
        head = sample.head
        write_cell(database, cell, head, sample.pixels)
        labels[head.label] = sample.row
        last = head.number
        if not head.held_out:
            database.execute("INSERT INTO kept VALUES (?)", (cell,))
            seen[sample.row.slot] += 1
    add_labels(database, labels)
    write_classes(database, {slot: ClassState(count) for slot, count in seen.items()})
    return last


def write_cell(database: sqlite3.Connection, cell: int, head: Head, pixels: bytes) -> None:
    """Put a sample into a cell, in place of whoever was there."""
    database.execute(
        "INSERT INTO cells VALUES (?, ?, ?) ON CONFLICT (cell) "
        "DO UPDATE SET head = excluded.head, pixels = excluded.pixels",
        (cell, head.to_bytes(), pixels),
    )


def write_owner(database: sqlite3.Connection, owner: Owner) -> None:
    """Write whose samples these are; the table must be empty."""
    database.execute("INSERT INTO owner VALUES (?, ?)", (owner.bundle_id, owner.input_size))


def write_labels(database: sqlite3.Connection, labels: Mapping[int, LabelRow]) -> None:
    """Write what labels stand for, in place of all that were there."""
    database.execute("DELETE FROM labels")
    add_labels(database, labels)


def add_labels(database: sqlite3.Connection, labels: Mapping[int, LabelRow]) -> None:
    """Write what new labels stand for."""
    database.executemany(
        "INSERT INTO labels VALUES (?, ?, ?, ?)",
        [(label, row.slot, row.known.name, row.known.since) for label, row in labels.items()],
    )


def write_classes(database: sqlite3.Connection, classes: Mapping[int, ClassState]) -> None:
    """Write what the reservoir must remember of these classes."""
    database.executemany(
        "INSERT OR REPLACE INTO classes VALUES (?, ?, ?)",
        [(slot, state.seen, state.is_full) for slot, state in classes.items()],
    )
