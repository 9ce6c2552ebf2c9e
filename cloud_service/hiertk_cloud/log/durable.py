"""The writing side of the log: append, give turns, forget.

Any thread may call it; each call is one transaction, committed to the disk when it returns.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hiertk_protocol.host.steady_clock import SteadyClock
from hiertk_protocol.storage import transaction

from hiertk_cloud.log.append import Group
from hiertk_cloud.log.file import reporting, reporting_damage
from hiertk_cloud.log.opening import open_file
from hiertk_cloud.log.records import Accepted, DeviceTotals, LogTotals, Refused, Settled
from hiertk_cloud.log.retention import Retention, last_free_turn, prune
from hiertk_cloud.log.turns import Turns, give_turns

_TURNS_AT_ONCE = 16

_DEVICES = """
SELECT device, stored, stored_bytes, refused, duplicates, held_bytes, count(size), total(size)
FROM devices LEFT JOIN (SELECT device, size FROM batches INDEXED BY waiting WHERE turn IS NULL)
USING (device) GROUP BY device
"""


class DurableLog:
    """The log of one bundle's deployment, open for writing."""

    def __init__(
        self,
        path: Path,
        bundle_id: bytes,
        *,
        consumed: int = 0,
        retention: Retention | None = None,
        tell: Callable[[str], None] = print,
    ) -> None:
        """Open or create the log; bring an older version's to this one's; repair a damaged one.

        consumed: turns that a checkpoint on disk has consumed. tell: gets a line about whatever
        takes long or was lost. Raises ConfigError if the log belongs to another bundle,
        StorageError if it is of a later version or the disk fails.
        """
        self._path = path
        self._retention = retention or Retention()
        self._lock = threading.Lock()
        self._last_device = ""
        self._consumed = consumed
        self._database = open_file(path, bundle_id, consumed, tell)
        try:
            with reporting_damage(path):
                self._totals = self._read_totals()
                self._devices = self._read_devices()
                self._clock = SteadyClock(self._newest_date())
        except BaseException:
            self._database.close()
            raise

    @property
    def totals(self) -> LogTotals:
        """The counts as of the newest commit."""
        return self._totals

    @property
    def devices(self) -> dict[str, DeviceTotals]:
        """The counts of each device as of the newest commit; not to be changed."""
        return self._devices

    def append(self, arrivals: Sequence[Accepted | Refused]) -> tuple[Settled, ...]:
        """Commit a group of messages, duplicates once; return what is settled per stream.

        Raises StorageError, and then nothing of the group is stored.
        """
        with self._lock:
            with self._transaction():
                group = Group(self._database, self._clock.now())
                for arrival in arrivals:
                    group.take(arrival)
                settled = group.settle()
            self._totals = group.added_to(self._totals)
            self._devices = self._devices | group.added_to_devices(self._devices)
        return settled

    def give_turns(self, *, stale_after: int = 0) -> int:
        """Give waiting batches their turns; return how many. Raises StorageError.

        stale_after: edge steps behind the newest of its device beyond which a training batch is
        left out; 0 leaves none out.
        """
        with self._lock:
            if self._totals.stored == self._totals.turns:
                return 0
            with self._transaction():
                given = give_turns(
                    self._database,
                    count=_TURNS_AT_ONCE,
                    after=self._last_device,
                    stale_after=stale_after,
                )
            self._take_from_waiting(given)
        return len(given.given)

    def release(self, consumed: int) -> None:
        """Say up to which turn a checkpoint on disk has consumed; the log may forget those."""
        self._consumed = consumed

    def prune(self) -> int:
        """Forget some of what the retention allows; return the bytes. Raises StorageError."""
        if self._retention.max_bytes is None and self._retention.max_age_s is None:
            return 0
        with self._lock:
            with self._transaction():
                gone = prune(
                    self._database,
                    self._retention,
                    last_turn=last_free_turn(
                        self._database, self._consumed, self._retention.replay_window
                    ),
                    held_bytes=self._totals.held_bytes,
                    now=self._clock.now(),
                )
            self._take_from_held(gone)
        return sum(gone.values())

    def close(self) -> None:
        """Close the file; nothing may be called afterwards."""
        with reporting(self._path), self._lock:
            self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        # Always under the lock: SQLite's own waiting for another writer sleeps up to 100 ms a time.
        with reporting(self._path), transaction(self._database):
            yield

    def _take_from_waiting(self, turns: Turns) -> None:
        changed = dict(self._devices)
        for device, size in turns.given:
            self._last_device = device
            before = changed[device]
            changed[device] = replace(
                before, waiting=before.waiting - 1, waiting_bytes=before.waiting_bytes - size
            )
        waiting_bytes = self._totals.waiting_bytes - sum(size for _, size in turns.given)
        self._devices = changed
        self._totals = replace(self._totals, turns=turns.last, waiting_bytes=waiting_bytes)

    def _take_from_held(self, gone: Mapping[str, int]) -> None:
        changed = dict(self._devices)
        for device, size in gone.items():
            changed[device] = replace(changed[device], held_bytes=changed[device].held_bytes - size)
        held_bytes = self._totals.held_bytes - sum(gone.values())
        self._devices, self._totals = changed, replace(self._totals, held_bytes=held_bytes)

    def _read_totals(self) -> LogTotals:
        row = self._database.execute(
            "SELECT stored, refused, duplicates, turns, trained FROM totals"
        ).fetchone()
        stored, refused, duplicates, turns, _ = map(int, row)
        (held,) = self._database.execute("SELECT total(held_bytes) FROM devices").fetchone()
        (waiting,) = self._database.execute(
            "SELECT total(size) FROM batches INDEXED BY waiting WHERE turn IS NULL"
        ).fetchone()
        return LogTotals(stored, refused, duplicates, 0, int(held), int(waiting), turns)

    def _read_devices(self) -> dict[str, DeviceTotals]:
        return {
            device: DeviceTotals(*map(int, counts))
            for device, *counts in self._database.execute(_DEVICES)
        }

    def _newest_date(self) -> int:
        (newest,) = self._database.execute(
            "SELECT stored_at FROM batches ORDER BY position DESC LIMIT 1"
        ).fetchone() or (0,)
        return int(newest)
