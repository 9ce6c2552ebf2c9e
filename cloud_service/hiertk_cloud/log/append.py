"""One group of messages taken into the log, inside a transaction."""

import sqlite3
from collections import Counter
from dataclasses import replace

from hiertk_cloud.log.file import signed, unsigned
from hiertk_cloud.log.records import (
    Accepted,
    DeviceTotals,
    LogTotals,
    Refused,
    Settled,
    checksum,
)

MAX_AHEAD = 4096  # how far above the settled ones a sequence number may lie
MAX_STREAMS = 10_000
MAX_REASON_CHARACTERS = 200

_SETTLED = """
SELECT seq FROM batches WHERE device = :device AND epoch = :epoch AND seq > :through
UNION SELECT seq FROM refusals WHERE device = :device AND epoch = :epoch AND seq > :through
ORDER BY seq
"""

_HIGHEST = """
SELECT max((SELECT ifnull(max(seq), 0) FROM batches WHERE device = :device AND epoch = :epoch),
    (SELECT ifnull(max(seq), 0) FROM refusals WHERE device = :device AND epoch = :epoch))
"""

_ADVANCE = """
UPDATE streams SET through = :through, edge_step = :edge_step
WHERE device = :device AND epoch = :epoch
"""

# Every refusal remembered lies within MAX_AHEAD of `through`, so a stream holds few of them.
_FORGET = """
DELETE FROM refusals WHERE device = :device AND epoch = :epoch AND seq <= :through - :ahead
"""

_STORE = """
INSERT INTO batches (position, device, epoch, seq, held_out, edge_step, stored_at, size, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_COUNT = """
INSERT INTO devices (device, stored, stored_bytes, refused, duplicates, held_bytes)
VALUES (:device, :stored, :bytes, :refused, :duplicates, :bytes)
ON CONFLICT (device) DO UPDATE SET stored = stored + :stored,
    stored_bytes = stored_bytes + :bytes, held_bytes = held_bytes + :bytes,
    refused = refused + :refused, duplicates = duplicates + :duplicates
"""


class _Stream:
    """One device's epoch while a group is taken. highest: the greatest number that has come."""

    def __init__(
        self, device: str, epoch: int, *, through: int, edge_step: int, highest: int
    ) -> None:
        self.device = device
        self.epoch = epoch
        self.through = through
        self.edge_step = edge_step
        self.highest = highest
        self.refused: dict[int, str] = {}


class Group:
    """Takes messages one by one, then settles every stream that they belong to."""

    def __init__(self, database: sqlite3.Connection, now: int) -> None:
        """Begin a group. now: seconds since 1970."""
        self._database = database
        self._now = now
        self._streams: dict[tuple[str, int], _Stream] = {}
        self._counts: dict[str, Counter[str]] = {}
        self._whole: Counter[str] = Counter()
        self._ignored = 0
        # Stored in one go, which takes half the time; a look-up stores them before.
        self._batches: list[tuple[object, ...]] = []
        self._messages: list[tuple[int, bytes]] = []
        (last,) = database.execute(
            "SELECT max(seq) FROM sqlite_sequence WHERE name = 'batches'"
        ).fetchone()
        self._position: int = last or 0

    def take(self, arrival: Accepted | Refused) -> None:
        """Store, refuse, or recognise one message."""
        key = arrival.key
        stream = self._stream(key.device, signed(key.epoch))
        if stream is None:
            self._ignored += 1
            return
        if arrival.floor <= key.seq:  # a refused message's floor may be nonsense
            stream.through = max(stream.through, arrival.floor - 1)
        if self._is_settled(stream, key.seq):
            self._counts[key.device]["duplicates"] += 1
        elif key.seq > stream.through + MAX_AHEAD:
            self._ignored += 1
        elif isinstance(arrival, Accepted):
            self._store(stream, arrival)
        else:
            self._refuse(stream, arrival)

    def settle(self) -> tuple[Settled, ...]:
        """Advance each stream over what is settled without a gap, and return where it stands."""
        self._store_all()
        settled = tuple(self._settle(stream) for stream in self._streams.values())
        for device, counts in self._counts.items():
            self._database.execute(
                _COUNT,
                {
                    "device": device,
                    "stored": counts["stored"],
                    "bytes": counts["bytes"],
                    "refused": counts["refused"],
                    "duplicates": counts["duplicates"],
                },
            )
        whole = self._whole = sum(self._counts.values(), Counter())
        self._database.execute(
            "UPDATE totals SET stored = stored + ?, refused = refused + ?, "
            "duplicates = duplicates + ?",
            (whole["stored"], whole["refused"], whole["duplicates"]),
        )
        return settled

    def added_to(self, before: LogTotals) -> LogTotals:
        """Return the log's totals with this group's, once it is settled."""
        whole = self._whole
        return replace(
            before,
            stored=before.stored + whole["stored"],
            refused=before.refused + whole["refused"],
            duplicates=before.duplicates + whole["duplicates"],
            ignored=before.ignored + self._ignored,
            held_bytes=before.held_bytes + whole["bytes"],
            waiting_bytes=before.waiting_bytes + whole["bytes"],
        )

    def added_to_devices(self, before: dict[str, DeviceTotals]) -> dict[str, DeviceTotals]:
        """Return the totals of the devices that this group's messages came from."""
        return {
            device: _added(before.get(device, DeviceTotals()), counts)
            for device, counts in self._counts.items()
        }

    def _stream(self, device: str, epoch: int) -> _Stream | None:
        stream = self._streams.get((device, epoch))
        if stream is None:
            row = self._database.execute(
                "SELECT through, edge_step FROM streams WHERE device = ? AND epoch = ?",
                (device, epoch),
            ).fetchone()
            if row is None and not self._open(device, epoch):
                return None
            through, edge_step = row or (0, 0)
            (highest,) = self._database.execute(
                _HIGHEST, {"device": device, "epoch": epoch}
            ).fetchone()
            stream = _Stream(
                device, epoch, through=through, edge_step=edge_step, highest=max(through, highest)
            )
            self._streams[device, epoch] = stream
            self._counts.setdefault(device, Counter())
        return stream

    def _open(self, device: str, epoch: int) -> bool:
        (count,) = self._database.execute("SELECT count(*) FROM streams").fetchone()
        if count >= MAX_STREAMS:
            return False
        self._database.execute("INSERT INTO streams VALUES (?, ?, 0, 0)", (device, epoch))
        return True

    def _is_settled(self, stream: _Stream, seq: int) -> bool:
        if seq > stream.highest and seq > stream.through:
            return False
        self._store_all()
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
        message = batch.message
        self._position += 1
        self._batches.append(
            (
                self._position,
                stream.device,
                stream.epoch,
                batch.key.seq,
                batch.held_out,
                batch.edge_step,
                self._now,
                len(message),
                checksum(message),
            )
        )
        self._messages.append((self._position, message))
        stream.edge_step = max(stream.edge_step, batch.edge_step)
        stream.highest = max(stream.highest, batch.key.seq)
        counts = self._counts[stream.device]
        counts["stored"] += 1
        counts["bytes"] += len(message)

    def _store_all(self) -> None:
        self._database.executemany(_STORE, self._batches)
        self._database.executemany("INSERT INTO messages VALUES (?, ?)", self._messages)
        self._batches, self._messages = [], []

    def _refuse(self, stream: _Stream, refusal: Refused) -> None:
        reason = refusal.reason[:MAX_REASON_CHARACTERS]
        self._database.execute(
            "INSERT INTO refusals VALUES (?, ?, ?, ?)",
            (stream.device, stream.epoch, refusal.key.seq, reason),
        )
        stream.refused[refusal.key.seq] = reason
        stream.highest = max(stream.highest, refusal.key.seq)
        self._counts[stream.device]["refused"] += 1

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
        self._database.execute(_ADVANCE, {**name, "edge_step": stream.edge_step})
        self._database.execute(_FORGET, {**name, "ahead": MAX_AHEAD})
        return Settled(
            stream.device,
            unsigned(stream.epoch),
            through,
            tuple(beyond),
            tuple(sorted(stream.refused.items())),
        )


def _added(before: DeviceTotals, counts: Counter[str]) -> DeviceTotals:
    return replace(
        before,
        stored=before.stored + counts["stored"],
        stored_bytes=before.stored_bytes + counts["bytes"],
        held_bytes=before.held_bytes + counts["bytes"],
        refused=before.refused + counts["refused"],
        duplicates=before.duplicates + counts["duplicates"],
        waiting=before.waiting + counts["stored"],
        waiting_bytes=before.waiting_bytes + counts["bytes"],
    )
