"""Seconds since 1970 that never go back or jump: what stored batches are dated by."""

import time
from collections.abc import Callable


class SteadyClock:
    """The wall clock at its start, and a monotonic one from there on.

    A clock that is set while the service runs then changes no batch's age; one that was wrong at
    the start cannot date a batch before those that are there.
    """

    def __init__(
        self,
        newest: int,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin. newest: the date of the newest batch, 0 for none."""
        self._monotonic = monotonic
        self._offset = max(wall(), float(newest)) - monotonic()

    def now(self) -> int:
        """Return the date, in whole seconds."""
        return int(self._offset + self._monotonic())
