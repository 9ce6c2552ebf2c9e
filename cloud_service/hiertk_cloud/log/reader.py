"""Reading the durable log, in the order of turns."""

from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.errors import StorageError

from hiertk_cloud.log.file import connect, reporting
from hiertk_cloud.log.records import is_whole

_ENTRY = """
SELECT turn, train_number, held_out, device, checksum, message
FROM batches LEFT JOIN messages USING (position) WHERE
"""


class DamagedEntryError(StorageError):
    """One stored message is not as it came."""


@dataclass(frozen=True)
class LogEntry:
    """A stored batch.

    train_number counts those to train on from 1; None for a held-out one, or a stale one, whose
    features come from an edge partition that has moved on.
    """

    turn: int
    train_number: int | None
    held_out: bool
    device: str
    checksum: int
    stored: object

    @property
    def message(self) -> bytes:
        """The message as it came. Raises DamagedEntryError."""
        if not is_whole(self.stored, self.checksum):
            raise DamagedEntryError(f"the log is damaged at turn {self.turn}")
        return self.stored


class LogReader:
    """The reading side of the log; one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open a log that exists. Raises StorageError."""
        self._path = path
        self._database = connect(path)

    def at_turn(self, turn: int) -> LogEntry | None:
        """Return the entry of a turn; None if no batch has it yet. Raises StorageError."""
        return self._one("turn = ?", turn)

    def training_batch(self, train_number: int) -> LogEntry:
        """Return the n-th entry to train on, counted from 1. Raises StorageError."""
        entry = self._one("train_number = ?", train_number)
        if entry is None:
            raise DamagedEntryError(f"{self._path}: training batch {train_number} is missing")
        return entry

    def newest_training(self, turn: int) -> int:
        """Return the number of the newest training batch up to a turn, 0 for none.

        Raises StorageError.
        """
        query = (
            "SELECT train_number FROM batches WHERE turn BETWEEN 1 AND ? "
            "AND train_number IS NOT NULL ORDER BY turn DESC LIMIT 1"
        )
        with reporting(self._path):
            rows = self._database.execute(query, (turn,)).fetchall()
        return int(rows[0][0]) if rows else 0

    def held_out_turns(self, device: str, edge_step: int, turn: int) -> list[int]:
        """Return the turns of a device's held-out batches of one edge step, up to a turn.

        Those that retention has removed are left out. Raises StorageError.
        """
        query = (
            "SELECT turn FROM batches WHERE device = ? AND held_out AND edge_step = ? "
            "AND turn BETWEEN 1 AND ? AND size > 0 ORDER BY turn"
        )
        with reporting(self._path):
            rows = self._database.execute(query, (device, edge_step, turn)).fetchall()
        return [int(row[0]) for row in rows]

    def last_turn(self) -> int:
        """Return the newest turn, 0 if there is none. Raises StorageError."""
        with reporting(self._path):
            return int(self._database.execute("SELECT turns FROM totals").fetchall()[0][0])

    def close(self) -> None:
        """Close the file; nothing may be called afterwards."""
        with reporting(self._path):
            self._database.close()

    def _one(self, condition: str, value: int) -> LogEntry | None:
        with reporting(self._path):
            # fetchall() ends the read transaction, which would keep the WAL from being reused.
            rows = self._database.execute(_ENTRY + condition, (value,)).fetchall()
        if not rows:
            return None
        turn, train_number, held_out, device, stored_checksum, stored = rows[0]
        return LogEntry(turn, train_number, bool(held_out), device, stored_checksum, stored)
