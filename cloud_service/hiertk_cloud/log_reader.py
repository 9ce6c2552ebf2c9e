"""Reading the durable log, in order of position."""

from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.errors import StorageError

from hiertk_cloud.log_file import connect, reporting


@dataclass(frozen=True)
class LogEntry:
    """A stored batch. train_number counts those to train on from 1; None for a held-out one."""

    position: int
    train_number: int | None
    message: bytes


class LogReader:
    """The reading side of the log; one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open a log that exists. Raises StorageError."""
        self._path = path
        self._database = connect(path)

    def first_after(self, position: int) -> LogEntry | None:
        """Return the entry behind a position; None at the end of the log. Raises StorageError."""
        return self._one("position > ? ORDER BY position LIMIT 1", position)

    def training_batch(self, train_number: int) -> LogEntry:
        """Return the n-th entry to train on, counted from 1. Raises StorageError."""
        entry = self._one("train_number = ?", train_number)
        if entry is None:
            raise StorageError(f"{self._path}: training batch {train_number} is missing")
        return entry

    def last_position(self) -> int:
        """Return the position of the newest entry, 0 for an empty log. Raises StorageError."""
        with reporting(self._path):
            rows = self._database.execute("SELECT max(position) FROM batches").fetchall()
        return int(rows[0][0] or 0)

    def close(self) -> None:
        """Close the file; nothing may be called afterwards."""
        with reporting(self._path):
            self._database.close()

    def _one(self, condition: str, value: int) -> LogEntry | None:
        query = f"SELECT position, train_number, message FROM batches WHERE {condition}"  # noqa: S608
        with reporting(self._path):
            # fetchall() ends the read transaction, which would keep the WAL from being reused.
            rows = self._database.execute(query, (value,)).fetchall()
        return LogEntry(*rows[0]) if rows else None
