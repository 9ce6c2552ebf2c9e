"""The spool: feature messages on disk until the cloud has acknowledged them, in SQLite.

A put that returned survives a killed process. After a power cut the newest puts may be missing,
together with their place in the training data, so those batches are made again.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import islice
from pathlib import Path

from hiertk_protocol.hiertk_pb2 import FeatureBatch

from hiertk_edge.spool.books import Books
from hiertk_edge.spool.counts import (
    samples_of,
    size_of,
    with_aged,
    with_dropped,
    with_stored,
    without,
)
from hiertk_edge.spool.file import LARGEST, reporting
from hiertk_edge.spool.opening import open_file
from hiertk_edge.spool.records import Cursor, Row, SpoolLimits, SpoolTotals, Stored
from hiertk_edge.spool.room import Room
from hiertk_edge.spool.rows import Rows, row_of

_DELETED_AT_ONCE = 16  # one put waits no longer than this takes


class Spool:
    """Puts from the trainer, reads and settles from the uplink; any thread may call anything."""

    def __init__(
        self,
        path: Path,
        *,
        bundle_id: bytes,
        device: str,
        limits: SpoolLimits | None = None,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open or create the spool; bring an earlier version's to this one's.

        A damaged one is set aside, with a warning, and a new one begun. Raises ConfigError if it
        belongs to another bundle or device, StorageError.
        """
        self._path = path
        self._limits = limits or SpoolLimits()
        self._changed = threading.Condition(threading.RLock())
        opened = open_file(
            path,
            bundle_id=bundle_id,
            device=device,
            when_full=self._limits.when_full,
            wall=wall(),
        )
        self.epoch = opened.epoch
        self._database = opened.database
        self._rows = Rows(opened.database)
        self._room = Room(self._rows, self._limits.when_full)
        self._books = Books(path, opened, wall=wall, monotonic=monotonic)

    @property
    def limits(self) -> SpoolLimits:
        """How much it holds, and what goes when it is full."""
        return self._limits

    @property
    def totals(self) -> SpoolTotals:
        """The counts as of the newest change."""
        with self._changed:
            return self._books.totals

    @property
    def floor(self) -> int:
        """The lowest sequence number still held, or the next one: no lower one will be sent."""
        with self._changed, reporting(self._path):
            numbers = self._rows.numbers()
            return numbers[0] if numbers else self._books.totals.next_seq

    @property
    def cursor(self) -> Cursor:
        """The cursor of the newest put."""
        with self._changed, reporting(self._path):
            return Cursor(*self._database.execute("SELECT * FROM cursor").fetchone())

    def now(self) -> int:
        """Return the seconds that the device has run with this spool."""
        return self._books.now()

    def put(self, messages: Sequence[FeatureBatch], cursor: Cursor) -> list[int]:
        """Store the messages of one batch and the cursor behind it; return their numbers.

        Fills in epoch and seq. If the spool would outgrow its bound, the policy says what goes: of
        these messages only with drop-newest. Raises StorageError, and then nothing is stored.
        """
        self.expire()
        with self._changed:
            accepted, left_out = self._admit(messages)
            rows = [row for row, _ in accepted]
            before = self._books.totals
            totals = with_dropped(before, len(left_out), samples_of(left_out))
            with self._change():
                excess = totals.held_bytes + size_of(rows) - self._limits.max_bytes
                if rows and excess > 0:
                    totals = self._room.make(totals, excess)
                self._insert(accepted)
                self._database.execute(
                    "UPDATE cursor SET plan = ?, consumed = ?, evaluated_at = ?",
                    (cursor.plan, cursor.consumed, cursor.evaluated_at),
                )
                self._books.write(
                    replace(
                        with_stored(totals, rows),
                        samples=before.samples + samples_of(rows),
                        payload_bytes=before.payload_bytes + size_of(rows),
                    )
                )
            return [row.seq for row in rows]

    def next_after(self, seq: int) -> Stored | None:
        """Return the message with the lowest number above `seq`; None if there is none.

        One that is not as it was stored is dropped and counted, and the next one returned.
        """
        with self._changed:
            while True:
                with reporting(self._path):
                    row = self._rows.next_after(min(seq, LARGEST))
                    message = None if row is None else self._rows.message(row.seq)
                if row is None:
                    return None
                if message is not None:
                    return Stored(row.seq, message)
                self._remove(
                    [row], replace(self._books.totals, damaged=self._books.totals.damaged + 1)
                )

    def size_after(self, seq: int) -> int | None:
        """Return the bytes of the message that `next_after` would try first, without reading it."""
        with self._changed, reporting(self._path):
            row = self._rows.next_after(min(seq, LARGEST))
            return None if row is None else row.size

    def settle(
        self, through: int, beyond: Collection[int], refused: Mapping[int, str]
    ) -> dict[int, str]:
        """Delete what the cloud has settled; return those of `refused` that were still held."""
        with self._changed:
            # After a power cut the cloud may have settled numbers that are yet to be made again.
            top = self._books.totals.next_seq - 1
            named = sorted({seq for seq in (*beyond, *refused) if 0 < seq <= top})
            with reporting(self._path):
                rows = [row for seq in named if (row := self._rows.get(seq)) is not None]
            held_refused = {row.seq: refused[row.seq] for row in rows if row.seq in refused}
            totals = replace(
                self._books.totals, refused=self._books.totals.refused + len(held_refused)
            )
            if rows:
                self._remove(rows, totals)
        self._remove_while(lambda row: row.seq <= min(through, top), lambda totals, _: totals)
        return held_refused

    def drop(self, seq: int) -> None:
        """Delete a message that is too large to be sent, and count it."""
        with self._changed:
            with reporting(self._path):
                row = self._rows.get(seq)
            if row is not None:
                self._remove(
                    [row], replace(self._books.totals, too_large=self._books.totals.too_large + 1)
                )

    def split(self, seq: int, parts: Sequence[FeatureBatch]) -> list[int]:
        """Replace a message by parts under the next numbers, and return these.

        The cloud must never have seen the message: it knows nothing of parts, so their samples
        would count twice. Does nothing if the message is not held any more.
        """
        with self._changed:
            with reporting(self._path):
                row = self._rows.get(seq)
            if row is None:
                return []
            numbered = [self._numbered(part, number) for number, part in enumerate(parts)]
            rows = [part for part, _ in numbered]
            with self._change():
                self._rows.delete([seq])
                self._room.went([row])
                self._insert(numbered)
                self._books.write(with_stored(without(self._books.totals, [row]), rows))
            return [part.seq for part in rows]

    def expire(self) -> None:
        """Delete what is older than the limit, and count it."""
        if self._limits.max_age_s:
            before = self.now() - self._limits.max_age_s
            self._remove_while(lambda row: row.stored_at < before, with_aged)

    def note_published(self, seq: int) -> None:
        """Remember, even if the process is killed, that a message goes to the broker now."""
        with self._changed:
            self._books.note_published(seq)

    def may_be_published(self, seq: int) -> bool:
        """Return whether a message may ever have gone to the broker."""
        with self._changed:
            return self._books.may_be_published(seq)

    def wire_hours(self) -> dict[int, int]:
        """Return what went over the wire in the newest hours: bytes by hour of the clock."""
        with self._changed:
            return self._books.wire_hours()

    def note_wire(self, hour: int, size: int) -> None:
        """Remember, with the next change, what went over the wire in an hour."""
        with self._changed:
            self._books.note_wire(hour, size)

    def flush(self) -> None:
        """Write what is only remembered."""
        with self._changed:
            self._books.flush()

    def wait_empty(self, timeout_s: float) -> bool:
        """Wait until nothing is held; return whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: self._books.totals.held == 0, timeout_s)

    def close(self) -> None:
        """Write what is only remembered and close the file; nothing may be called afterwards."""
        with self._changed, reporting(self._path):
            try:
                self._books.close()
            finally:
                self._database.close()

    def _admit(self, messages: Sequence[FeatureBatch]) -> tuple[list[tuple[Row, bytes]], list[Row]]:
        """Number the messages that are to be stored; return them, and those left out."""
        held_bytes = self._books.totals.held_bytes
        accepted: list[tuple[Row, bytes]] = []
        left_out = []
        for message in messages:
            row, data = self._numbered(message, len(accepted))
            is_too_much = held_bytes + row.size > self._limits.max_bytes
            if is_too_much and self._limits.when_full == "drop-newest":
                left_out.append(row)
            else:
                held_bytes += row.size
                accepted.append((row, data))
        return accepted, left_out

    def _numbered(self, message: FeatureBatch, after: int) -> tuple[Row, bytes]:
        message.epoch = self.epoch
        message.seq = self._books.totals.next_seq + after
        data = message.SerializeToString()
        return row_of(message, len(data), self.now()), data

    def _insert(self, numbered: Sequence[tuple[Row, bytes]]) -> None:
        for row, data in numbered:
            self._rows.insert(row, data)
        self._room.came([row for row, _ in numbered])

    def _remove_while(
        self,
        wanted: Callable[[Row], bool],
        counted: Callable[[SpoolTotals, Sequence[Row]], SpoolTotals],
    ) -> None:
        """Delete the oldest messages as long as they are wanted, some at a time."""
        while True:
            with self._changed:
                with reporting(self._path):
                    rows = list(self._oldest(wanted))
                if not rows:
                    return
                self._remove(rows, counted(self._books.totals, rows))

    def _oldest(self, wanted: Callable[[Row], bool]) -> Iterator[Row]:
        for row in islice(self._rows.all(), _DELETED_AT_ONCE):
            if not wanted(row):
                return
            yield row

    def _remove(self, rows: Sequence[Row], totals: SpoolTotals) -> None:
        with self._change():
            self._rows.delete(row.seq for row in rows)
            self._room.went(rows)
            self._books.write(without(totals, rows))
        self._changed.notify_all()

    def _change(self) -> AbstractContextManager[None]:
        return self._books.change(undo=self._room.forget)
