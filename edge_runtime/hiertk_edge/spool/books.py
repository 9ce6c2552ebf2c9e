"""The spool's totals and what else it remembers, written with every change in one transaction."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hiertk_protocol.host.steady_clock import SteadyClock
from hiertk_protocol.storage import transaction

from hiertk_edge.spool.file import reporting, write_counts
from hiertk_edge.spool.opening import Opened
from hiertk_edge.spool.records import SpoolTotals
from hiertk_edge.spool.wire_hours import read_hours, write_hours

_PUBLISHED_AT_ONCE = 64  # so many are noted as published with one write


class Books:
    """Totals, clock, hours of the wire, published messages; the caller holds the spool's lock.

    The clock counts the seconds that the device ran with this spool: neither the wall clock nor the
    time switched off moves it.
    """

    def __init__(
        self,
        path: Path,
        opened: Opened,
        *,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._path = path
        self._database = opened.database
        self._wall = wall
        self._clock = SteadyClock(
            opened.clock, wall=lambda: float(opened.clock), monotonic=monotonic
        )
        self._published = opened.totals.published
        self._new_hours: dict[int, int] = {}
        self.totals = self._written = opened.totals

    def now(self) -> int:
        """Return the clock's seconds; any thread may ask."""
        return self._clock.now()

    @contextmanager
    def change(self, undo: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Commit what the block writes, and only then take its totals for true.

        undo: called if nothing is written after all. Raises StorageError.
        """
        try:
            with reporting(self._path), transaction(self._database):
                yield
        except BaseException:
            undo()
            raise
        self.totals = self._written
        self._new_hours.clear()

    def write(self, totals: SpoolTotals) -> None:
        """Write totals, and what is remembered; every change does so once."""
        now = self.now()
        write_counts(self._database, totals, clock=now, wall=int(self._wall()))
        if self._new_hours:
            write_hours(self._database, self._new_hours, now)
        self._written = totals

    def note_published(self, seq: int) -> None:
        """Remember that a message goes to the broker; some more are noted with it."""
        self._published = max(seq, self._published)
        if seq > self.totals.published:
            with self.change():
                self.write(replace(self.totals, published=seq + _PUBLISHED_AT_ONCE))

    def may_be_published(self, seq: int) -> bool:
        """Return whether a message may ever have gone to the broker."""
        return seq <= self._published

    def wire_hours(self) -> dict[int, int]:
        """Return the bytes of the newest hours, as they were written."""
        with reporting(self._path):
            return read_hours(self._database)

    def note_wire(self, hour: int, size: int) -> None:
        """Remember, with the next change, the bytes of an hour."""
        self._new_hours[hour] = size

    def flush(self) -> None:
        """Write what is only remembered: hours of the wire, and the clock if it dates anything."""
        if self._new_hours or self.totals.held:
            with self.change():
                self.write(self.totals)

    def close(self) -> None:
        """Write all that is remembered, exactly."""
        with self.change():
            self.write(replace(self.totals, published=self._published))
