"""The durable log: every feature batch the cloud took, on disk before it is acknowledged.

One writer appends; any number of readers (log_reader.py) follow it.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.messages import BatchKey
from hiertk_protocol.storage import transaction

from hiertk_cloud.log_file import connect, prepare, reporting, signed, unsigned

MAX_AHEAD = 4096  # how far above the settled ones a sequence number may lie
MAX_STREAMS = 10_000
MAX_REASON_CHARACTERS = 200

_SETTLED = """
SELECT seq FROM batches WHERE device = :device AND epoch = :epoch AND seq > :through
UNION SELECT seq FROM refusals WHERE device = :device AND epoch = :epoch AND seq > :through
ORDER BY seq
"""

_ADVANCE = "UPDATE streams SET through = :through WHERE device = :device AND epoch = :epoch"

# Every refusal remembered lies within MAX_AHEAD of `through`, so a stream holds few of them.
_FORGET = """
DELETE FROM refusals WHERE device = :device AND epoch = :epoch AND seq <= :through - :ahead
"""


@dataclass(frozen=True)
class Accepted:
    """A message that passed every check."""

    key: BatchKey
    floor: int
    held_out: bool
    message: bytes


@dataclass(frozen=True)
class Refused:
    """A message that is never to be sent again, and why."""

    key: BatchKey
    floor: int
    reason: str


@dataclass(frozen=True)
class Settled:
    """What is settled of one device's epoch: the contents of its ack.

    refused: (seq, reason) of those refused ones that came now, for the first time or again.
    """

    device: str
    epoch: int
    through: int
    beyond: tuple[int, ...]
    refused: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class LogTotals:
    """What ever came: stored, refused, come again; `ignored` counts since the log was opened."""

    stored: int
    refused: int
    duplicates: int
    ignored: int = 0


class DurableLog:
    """The writing side of the log; one thread at a time."""

    def __init__(self, path: Path, bundle_id: bytes) -> None:
        """Open or create the log.

        Raises ConfigError if it belongs to another bundle, StorageError if it is damaged or of
        another version.
        """
        self._path = path
        self._database = connect(path)
        try:
            with reporting(path):
                prepare(self._database, path, bundle_id)
                self._totals = self._read_totals()
        except BaseException:
            self._database.close()
            raise

    @property
    def totals(self) -> LogTotals:
        """The counts as of the newest append."""
        return self._totals

    def append(self, arrivals: Sequence[Accepted | Refused]) -> tuple[Settled, ...]:
        """Commit a group of messages, duplicates once; return what is settled per stream.

        Raises StorageError, and then nothing of the group is stored.
        """
        with reporting(self._path), transaction(self._database):
            group = _Group(self._database, self._totals)
            for arrival in arrivals:
                group.take(arrival)
            settled = group.settle()
            self._database.execute(
                "UPDATE totals SET refused = ?, duplicates = ?", (group.refused, group.duplicates)
            )
        self._totals = LogTotals(group.stored, group.refused, group.duplicates, group.ignored)
        return settled

    def close(self) -> None:
        """Close the file; nothing may be called afterwards."""
        with reporting(self._path):
            self._database.close()

    def _read_totals(self) -> LogTotals:
        # Positions have no gaps: nothing is ever deleted, and duplicates are not inserted.
        (stored,) = self._database.execute("SELECT max(position) FROM batches").fetchone()
        refused, duplicates = self._database.execute("SELECT * FROM totals").fetchone()
        return LogTotals(stored or 0, refused, duplicates)


class _Stream:
    """One device's epoch while a group is taken."""

    def __init__(self, device: str, epoch: int, through: int) -> None:
        self.device = device
        self.epoch = epoch
        self.through = through
        self.refused: dict[int, str] = {}


class _Group:
    """One group of messages inside a transaction."""

    def __init__(self, database: sqlite3.Connection, before: LogTotals) -> None:
        self._database = database
        self._streams: dict[tuple[str, int], _Stream] = {}
        (train_number,) = database.execute("SELECT max(train_number) FROM batches").fetchone()
        self._train_number: int = train_number or 0
        self.stored = before.stored
        self.refused = before.refused
        self.duplicates = before.duplicates
        self.ignored = before.ignored

    def take(self, arrival: Accepted | Refused) -> None:
        """Store, refuse, or recognise one message."""
        key = arrival.key
        stream = self._stream(key)
        if stream is None:
            self.ignored += 1
            return
        if arrival.floor <= key.seq:  # a refused message's floor may be nonsense
            stream.through = max(stream.through, arrival.floor - 1)
        if self._is_settled(stream, key.seq):
            self.duplicates += 1
        elif key.seq > stream.through + MAX_AHEAD:
            self.ignored += 1
        elif isinstance(arrival, Accepted):
            self._store(stream, arrival)
        else:
            self._refuse(stream, arrival)

    def settle(self) -> tuple[Settled, ...]:
        """Advance each stream over what is settled without a gap, and return where it stands."""
        return tuple(self._settle(stream) for stream in self._streams.values())

    def _stream(self, key: BatchKey) -> _Stream | None:
        epoch = signed(key.epoch)
        stream = self._streams.get((key.device, epoch))
        if stream is None:
            row = self._database.execute(
                "SELECT through FROM streams WHERE device = ? AND epoch = ?", (key.device, epoch)
            ).fetchone()
            if row is None and not self._open(key.device, epoch):
                return None
            stream = _Stream(key.device, epoch, row[0] if row else 0)
            self._streams[key.device, epoch] = stream
        return stream

    def _open(self, device: str, epoch: int) -> bool:
        (count,) = self._database.execute("SELECT count(*) FROM streams").fetchone()
        if count >= MAX_STREAMS:
            return False
        self._database.execute("INSERT INTO streams VALUES (?, ?, 0)", (device, epoch))
        return True

    def _is_settled(self, stream: _Stream, seq: int) -> bool:
        name = (stream.device, stream.epoch, seq)
        row = self._database.execute(
            "SELECT reason FROM refusals WHERE device = ? AND epoch = ? AND seq = ?", name
        ).fetchone()
        if row:
            stream.refused[seq] = row[0]
            return True
        if seq <= stream.through:
            return True
        query = "SELECT 1 FROM batches WHERE device = ? AND epoch = ? AND seq = ?"
        return self._database.execute(query, name).fetchone() is not None

    def _store(self, stream: _Stream, batch: Accepted) -> None:
        self._train_number += not batch.held_out
        self._database.execute(
            "INSERT INTO batches (train_number, device, epoch, seq, message) "
            "VALUES (?, ?, ?, ?, ?)",
            (
                None if batch.held_out else self._train_number,
                stream.device,
                stream.epoch,
                batch.key.seq,
                batch.message,
            ),
        )
        self.stored += 1

    def _refuse(self, stream: _Stream, refusal: Refused) -> None:
        reason = refusal.reason[:MAX_REASON_CHARACTERS]
        self._database.execute(
            "INSERT INTO refusals VALUES (?, ?, ?, ?)",
            (stream.device, stream.epoch, refusal.key.seq, reason),
        )
        stream.refused[refusal.key.seq] = reason
        self.refused += 1

    def _settle(self, stream: _Stream) -> Settled:
        name = {"device": stream.device, "epoch": stream.epoch, "through": stream.through}
        through = stream.through
        beyond = []
        for (seq,) in self._database.execute(_SETTLED, name):
            if seq == through + 1:
                through = seq
            else:
                beyond.append(seq)
        name["through"] = through
        self._database.execute(_ADVANCE, name)
        self._database.execute(_FORGET, {**name, "ahead": MAX_AHEAD})
        return Settled(
            stream.device,
            unsigned(stream.epoch),
            through,
            tuple(beyond),
            tuple(sorted(stream.refused.items())),
        )
