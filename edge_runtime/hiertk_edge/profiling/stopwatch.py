"""Times of pieces of work that take turns, so that a slow moment of the machine hits all alike."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

_FEWEST_TURNS = 2


class Stopwatch:
    """Collects how long pieces of work took, by name."""

    def __init__(self) -> None:
        self._taken_ms: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def time(self, what: str) -> Iterator[None]:
        """Take the time of a block."""
        started = time.perf_counter()
        yield
        self.add(what, time.perf_counter() - started)

    def add(self, what: str, seconds: float) -> None:
        """Take a time that was measured elsewhere."""
        self._taken_ms[what].append(1000 * seconds)

    def median_ms(self, what: str) -> float:
        """Return the median of all blocks of this name, to a tenth of a microsecond."""
        return round(median(self._taken_ms[what]), 4)


def turns(seconds: float) -> Iterator[int]:
    """Count turns until the time is up, but two at least."""
    deadline = time.monotonic() + seconds
    turn = 0
    while turn < _FEWEST_TURNS or time.monotonic() < deadline:
        yield turn
        turn += 1
