"""What a link has carried, over time."""

import threading
import time
from types import TracebackType

import numpy as np
from typing_extensions import Self

from hiertk.slow_link import SlowLink

_EVERY_S = 0.1


class LinkMeter:
    """Reads a link's counters now and then, while it is entered."""

    def __init__(self, link: SlowLink) -> None:
        self._link = link
        self._rows: list[tuple[float, int, int]] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._read_on, name="meter", daemon=True)

    def __enter__(self) -> Self:
        self._read()
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._thread.join()
        self._read()

    def between(self, start: float, end: float) -> tuple[float, float]:
        """Return the bytes up and down between two times of time.monotonic."""
        times, up, down = zip(*self._rows, strict=True)
        one, other = (np.interp([start, end], times, counts) for counts in (up, down))
        return float(one[1] - one[0]), float(other[1] - other[0])

    def _read_on(self) -> None:
        while not self._ending.wait(_EVERY_S):
            self._read()

    def _read(self) -> None:
        carried = self._link.carried()
        self._rows.append((time.monotonic(), carried.up, carried.down))
