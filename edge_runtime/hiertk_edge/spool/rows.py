"""The messages in the spool's tables, and what is known of each; the caller holds a transaction."""

import sqlite3
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator

from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.messages import NEW_CLASS

from hiertk_edge.spool.records import Row, WhenFull

_COLUMNS = "seq, size, stored_at, edge_step, held_out, bits, labels, thinned"
_INDEXES: dict[WhenFull, tuple[str, str]] = {
    "thin-out": ("by_thinned", "batches (thinned, seq)"),
    "fewer-bits": ("by_bits", "batches (held_out, bits, seq)"),
}


def index_for(database: sqlite3.Connection, when_full: WhenFull) -> None:
    """Keep the index that a policy looks messages up by, and no other."""
    for policy, (name, columns) in _INDEXES.items():
        if policy == when_full:
            database.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {columns}")
        else:
            database.execute(f"DROP INDEX IF EXISTS {name}")


def row_of(message: FeatureBatch, size: int, stored_at: int, thinned: int = 0) -> Row:
    """Describe a message that has its number."""
    return Row(
        seq=message.seq,
        size=size,
        stored_at=stored_at,
        edge_step=message.edge_step,
        held_out=message.purpose == FeatureBatch.HELD_OUT,
        bits=message.features.bits,
        labels=tuple(map(_two_bytes, message.labels)),
        thinned=thinned,
    )


class Rows:
    """Stores, finds and deletes messages."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def insert(self, row: Row, message: bytes) -> None:
        """Store a message."""
        self.describe(row, message)
        self._database.execute("INSERT INTO messages VALUES (?, ?)", (row.seq, message))

    def describe(self, row: Row, message: bytes) -> None:
        """Store what is known of a message."""
        self._database.execute(
            f"INSERT INTO batches (checksum, {_COLUMNS}) "  # noqa: S608
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                zlib.crc32(message),
                row.seq,
                row.size,
                row.stored_at,
                row.edge_step,
                row.held_out,
                row.bits,
                _packed(row.labels),
                row.thinned,
            ),
        )

    def replace(self, row: Row, message: bytes) -> None:
        """Store another message under a number that is there."""
        self._database.execute("DELETE FROM batches WHERE seq = ?", (row.seq,))
        self.describe(row, message)
        self._database.execute("UPDATE messages SET message = ? WHERE seq = ?", (message, row.seq))

    def mark_thinned(self, row: Row) -> None:
        """Count that a message's turn came, and nothing was taken."""
        self._database.execute("UPDATE batches SET thinned = thinned + 1 WHERE seq = ?", (row.seq,))

    def delete(self, seqs: Iterable[int]) -> None:
        """Delete messages by number."""
        numbers = [(seq,) for seq in seqs]
        self._database.executemany("DELETE FROM batches WHERE seq = ?", numbers)
        self._database.executemany("DELETE FROM messages WHERE seq = ?", numbers)

    def message(self, seq: int) -> bytes | None:
        """Return a message that is held; None if it is not as it was stored."""
        found = self._database.execute(
            "SELECT checksum, CAST(message AS BLOB) FROM batches LEFT JOIN messages USING (seq) "
            "WHERE seq = ?",
            (seq,),
        ).fetchone()
        checksum, message = found
        is_whole = isinstance(message, bytes) and zlib.crc32(message) == checksum
        return message if is_whole else None

    def next_after(self, seq: int) -> Row | None:
        """Return the row with the lowest number above `seq`."""
        return self._first("WHERE seq > ? ORDER BY seq", seq)

    def get(self, seq: int) -> Row | None:
        """Return a row by its number."""
        return self._first("WHERE seq = ?", seq)

    def least_thinned(self) -> Row | None:
        """Return the oldest of those thinned least."""
        return self._first("ORDER BY thinned, seq")

    def oldest_of_bits(self, bits: int) -> Row | None:
        """Return the oldest training message of so many bits."""
        return self._first("WHERE held_out = 0 AND bits = ? ORDER BY seq", bits)

    def newest_evaluation(self) -> int:
        """Return the highest edge step of what is held out; 0 if there is none."""
        query = "SELECT max(edge_step) FROM batches WHERE held_out = 1"
        (step,) = self._database.execute(query).fetchone()
        return step or 0

    def all(self) -> Iterator[Row]:
        """Yield every row, the oldest first."""
        query = f"SELECT {_COLUMNS} FROM batches ORDER BY seq"  # noqa: S608
        return map(_row, self._database.execute(query))

    def numbers(self) -> tuple[int, int] | None:
        """Return the lowest and the highest number held."""
        lowest, highest = self._database.execute(
            "SELECT (SELECT min(seq) FROM batches), (SELECT max(seq) FROM batches)"
        ).fetchone()
        return None if lowest is None else (lowest, highest)

    def sums(self) -> tuple[int, int]:
        """Count all rows, and their bytes."""
        count, size = self._database.execute("SELECT count(*), total(size) FROM batches").fetchone()
        return int(count), int(size)

    def _first(self, condition: str, *parameters: int) -> Row | None:
        query = f"SELECT {_COLUMNS} FROM batches {condition} LIMIT 1"  # noqa: S608
        found = self._database.execute(query, parameters).fetchone()
        return None if found is None else _row(found)


def _row(columns: tuple[int, int, int, int, int, int, bytes, int]) -> Row:
    seq, size, stored_at, edge_step, held_out, bits, labels, thinned = columns
    if not all(isinstance(value, int) for value in (size, stored_at, edge_step, thinned)):
        raise ValueError(f"what is known of message {seq} is damaged")
    return Row(seq, size, stored_at, edge_step, bool(held_out), bits, _unpacked(labels), thinned)


def _two_bytes(label: int) -> int:
    """Return a label as it is stored: new classes count down from the largest number."""
    return label if label < NEW_CLASS else 2 * NEW_CLASS - 1 - label


def _packed(labels: Iterable[int]) -> bytes:
    slots = array("H", labels)  # a bundle has at most 4096 classes
    if sys.byteorder == "big":
        slots.byteswap()
    return slots.tobytes()


def _unpacked(data: bytes) -> tuple[int, ...]:
    slots = array("H")
    slots.frombytes(data)
    if sys.byteorder == "big":
        slots.byteswap()
    return tuple(slots)
