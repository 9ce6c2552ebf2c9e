"""The spool: feature messages on disk until the cloud has acknowledged them, in SQLite.

A put that returned survives a killed process. After a power cut the newest puts may be missing,
together with their place in the training data, so those batches are made again.
"""

import secrets
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.storage import transaction

SCHEMA_VERSION = 1
DEFAULT_MAX_BYTES = 256 << 20

_SCHEMA = """
CREATE TABLE batches (seq INTEGER PRIMARY KEY, message BLOB NOT NULL);
CREATE TABLE owner (bundle_id BLOB NOT NULL, device TEXT NOT NULL, epoch TEXT NOT NULL);
CREATE TABLE cursor (plan TEXT NOT NULL, consumed INTEGER NOT NULL, evaluated_at INTEGER NOT NULL);
CREATE TABLE totals (
    next_seq INTEGER NOT NULL, spooled INTEGER NOT NULL, samples INTEGER NOT NULL,
    payload_bytes INTEGER NOT NULL, dropped INTEGER NOT NULL, refused INTEGER NOT NULL
);
INSERT INTO cursor VALUES ('', 0, 0);
INSERT INTO totals VALUES (1, 0, 0, 0, 0, 0);
"""

_TOTALS = "SELECT next_seq, spooled, samples, payload_bytes, dropped, refused FROM totals"
_ODD_MESSAGES = """
SELECT count(*) FROM batches WHERE typeof(message) != 'blob' OR seq < 1 OR seq >= ?
"""


@dataclass(frozen=True)
class Cursor:
    """How far training has come in its data.

    plan: names data, seed and batch size. consumed: batches of the source used up.
    evaluated_at: `consumed` at the newest complete evaluation, 0 for none.
    """

    plan: str = ""
    consumed: int = 0
    evaluated_at: int = 0


@dataclass(frozen=True)
class SpoolTotals:
    """What the spool holds now, and what ever went through it."""

    held: int
    held_bytes: int
    next_seq: int
    spooled: int
    samples: int
    payload_bytes: int
    dropped: int
    refused: int


@dataclass(frozen=True)
class Stored:
    """A message in the spool."""

    seq: int
    message: bytes


class Spool:
    """Puts from the trainer, reads and settles from the uplink; any thread may call anything."""

    def __init__(
        self,
        path: Path,
        *,
        bundle_id: bytes,
        device: str,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        """Open or create the spool.

        Raises ConfigError if it belongs to another bundle or device, StorageError if it is damaged.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._changed = threading.Condition(threading.RLock())
        with self._reporting():
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            with self._reporting():
                self._prepare(bundle_id, device)
            self.epoch = self._check_owner(bundle_id, device)
            with self._reporting():
                self._totals = self._read_totals()
        except BaseException:
            self._database.close()
            raise

    @property
    def totals(self) -> SpoolTotals:
        """The counts as of the newest change."""
        with self._changed:
            return self._totals

    @property
    def floor(self) -> int:
        """The lowest sequence number still held, or the next one: no lower one will be sent."""
        with self._changed, self._reporting():
            (lowest,) = self._database.execute("SELECT min(seq) FROM batches").fetchone()
            return int(lowest) if lowest is not None else self._totals.next_seq

    @property
    def cursor(self) -> Cursor:
        """The cursor of the newest put."""
        with self._changed, self._reporting():
            return Cursor(*self._database.execute("SELECT * FROM cursor").fetchone())

    def put(self, messages: Sequence[FeatureBatch], cursor: Cursor) -> list[int]:
        """Store the messages of one batch and the cursor behind it; return their numbers.

        Fills in epoch and seq. Drops the oldest messages if the spool would outgrow its bound.
        Raises StorageError, and then nothing is stored.
        """
        with self._changed:
            totals = self._totals
            rows = []
            for seq, message in enumerate(messages, totals.next_seq):
                message.epoch = self.epoch
                message.seq = seq
                rows.append((seq, message.SerializeToString()))
            added = sum(len(row[1]) for row in rows)
            totals = replace(
                totals,
                held=totals.held + len(rows),
                held_bytes=totals.held_bytes + added,
                next_seq=totals.next_seq + len(rows),
                spooled=totals.spooled + len(rows),
                samples=totals.samples + sum(len(message.labels) for message in messages),
                payload_bytes=totals.payload_bytes + added,
            )
            with self._transaction():
                if totals.held_bytes > self._max_bytes:
                    totals = self._drop_oldest(totals, totals.held_bytes - self._max_bytes)
                self._database.executemany("INSERT INTO batches VALUES (?, ?)", rows)
                self._database.execute(
                    "UPDATE cursor SET plan = ?, consumed = ?, evaluated_at = ?",
                    (cursor.plan, cursor.consumed, cursor.evaluated_at),
                )
                self._write_totals(totals)
            self._totals = totals
            return [row[0] for row in rows]

    def next_after(self, seq: int) -> Stored | None:
        """Return the message with the lowest number above `seq`; None if there is none."""
        query = "SELECT seq, message FROM batches WHERE seq > ? ORDER BY seq LIMIT 1"
        with self._changed, self._reporting():
            row = self._database.execute(query, (min(seq, _LARGEST),)).fetchone()
            return Stored(*row) if row else None

    def settle(
        self, through: int, beyond: Collection[int], refused: Mapping[int, str]
    ) -> dict[int, str]:
        """Delete what the cloud has settled; return those of `refused` that were still held."""
        with self._changed:
            # After a power cut the cloud may have settled numbers that are yet to be made again.
            top = self._totals.next_seq - 1
            through = min(through, top)
            named = {seq for seq in (*beyond, *refused) if 0 < seq <= top}
            with self._reporting():
                held_refused = {
                    seq: reason
                    for seq, reason in refused.items()
                    if seq in named and self._size_of(seq) is not None
                }
            above = [seq for seq in named if seq > through]
            totals = replace(self._totals, refused=self._totals.refused + len(held_refused))
            self._delete(totals, through, above)
            return held_refused

    def drop(self, seq: int) -> None:
        """Delete a message that can never be sent, and count it."""
        with self._changed, self._reporting():
            if self._size_of(seq) is not None:
                self._delete(replace(self._totals, dropped=self._totals.dropped + 1), 0, [seq])

    def wait_empty(self, timeout_s: float) -> bool:
        """Wait until nothing is held; return whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: self._totals.held == 0, timeout_s)

    def close(self) -> None:
        """Close the file; nothing may be called afterwards."""
        with self._changed, self._reporting():
            self._database.close()

    def _delete(self, totals: SpoolTotals, through: int, others: Sequence[int]) -> None:
        with self._transaction():
            count, size = self._database.execute(
                "SELECT count(*), total(length(message)) FROM batches WHERE seq <= ?", (through,)
            ).fetchone()
            for seq in others:
                one = self._size_of(seq)
                if one is not None:
                    count, size = count + 1, size + one
            if count:
                self._database.execute("DELETE FROM batches WHERE seq <= ?", (through,))
                self._database.executemany(
                    "DELETE FROM batches WHERE seq = ?", [(seq,) for seq in others]
                )
            totals = replace(
                totals, held=totals.held - int(count), held_bytes=totals.held_bytes - int(size)
            )
            self._write_totals(totals)
        self._totals = totals
        self._changed.notify_all()

    def _drop_oldest(self, totals: SpoolTotals, excess: int) -> SpoolTotals:
        freed = dropped = last = 0
        query = "SELECT seq, length(message) FROM batches ORDER BY seq"
        for seq, size in self._database.execute(query):
            if freed >= excess:
                break
            freed, dropped, last = freed + size, dropped + 1, seq
        self._database.execute("DELETE FROM batches WHERE seq <= ?", (last,))
        return replace(
            totals,
            held=totals.held - dropped,
            held_bytes=totals.held_bytes - freed,
            dropped=totals.dropped + dropped,
        )

    def _size_of(self, seq: int) -> int | None:
        query = "SELECT length(message) FROM batches WHERE seq = ?"
        row = self._database.execute(query, (seq,)).fetchone()
        return int(row[0]) if row else None

    def _prepare(self, bundle_id: bytes, device: str) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute("PRAGMA journal_size_limit = 4194304")
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA_VERSION):
            raise StorageError(
                f"{self._path}: spool version {version}, this is {SCHEMA_VERSION}: "
                "run the newer hiertk-edge, or choose another --state"
            )
        if version == 0:
            with self._transaction():
                for statement in _SCHEMA.split(";"):
                    self._database.execute(statement)
                self._database.execute(
                    "INSERT INTO owner VALUES (?, ?, ?)",
                    (bundle_id, device, str(secrets.randbits(64))),
                )
                self._database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _check_owner(self, bundle_id: bytes, device: str) -> int:
        with self._reporting():
            query = "SELECT bundle_id, device, epoch FROM owner"
            held_id, held_device, text = self._database.execute(query).fetchone()
            epoch = int(text)
            if not isinstance(held_id, bytes) or not 0 <= epoch < 1 << 64:
                raise ValueError("the owner is damaged")
        if held_id != bundle_id:
            raise ConfigError(
                f"{self._path.parent} belongs to bundle {held_id.hex()[:16]}, not "
                f"{bundle_id.hex()[:16]}: take that bundle, or another --state"
            )
        if held_device != device:
            raise ConfigError(
                f"{self._path.parent} belongs to device {held_device!r}, not {device!r}: "
                "take that name, or another --state"
            )
        return epoch

    def _read_totals(self) -> SpoolTotals:
        held, held_bytes = self._database.execute(
            "SELECT count(*), total(length(message)) FROM batches"
        ).fetchone()
        row = self._database.execute(_TOTALS).fetchone()
        plan, *counts = self._database.execute("SELECT * FROM cursor").fetchone()
        if not isinstance(plan, str) or not all(map(_is_count, (*row, *counts))):
            raise ValueError("the counts are damaged")
        (odd,) = self._database.execute(_ODD_MESSAGES, (row[0],)).fetchone()
        if odd:
            raise ValueError(f"{odd} messages are damaged")
        return SpoolTotals(int(held), int(held_bytes), *row)

    def _write_totals(self, totals: SpoolTotals) -> None:
        self._database.execute(
            "UPDATE totals SET next_seq = ?, spooled = ?, samples = ?, payload_bytes = ?, "
            "dropped = ?, refused = ?",
            (
                totals.next_seq,
                totals.spooled,
                totals.samples,
                totals.payload_bytes,
                totals.dropped,
                totals.refused,
            ),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._reporting(), transaction(self._database):
            yield

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, TypeError, ValueError) as error:
            raise StorageError(
                f"{self._path}: {error}: free some space, or move the state folder away"
            ) from error


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < _LARGEST


_LARGEST = (1 << 63) - 1
