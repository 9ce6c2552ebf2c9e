"""How fast bytes are acknowledged while some are on their way. Pure: no clock, no link."""

import math
from collections import deque

_NEWEST_S = 30.0
_MOST = 256


class AckRate:
    """The rate over the newest half minute of waiting; idle time does not count."""

    def __init__(self) -> None:
        self._acks: deque[tuple[int, float]] = deque(maxlen=_MOST)

    def add(self, size: int, waited_s: float) -> None:
        """Note that bytes were acknowledged, so long after the ack before or the first message."""
        self._acks.append((size, waited_s))
        while self._waited_s - self._acks[0][1] > _NEWEST_S:
            self._acks.popleft()

    def seconds_for(self, size: int, waiting_s: float) -> float:
        """Return how long so many bytes take; NaN while no rate is known.

        waiting_s: since when nothing was acknowledged, though something is on its way.
        """
        if size == 0:
            return 0.0
        acknowledged = sum(size for size, _ in self._acks)
        if not acknowledged:
            return math.nan
        return size * (self._waited_s + waiting_s) / acknowledged

    @property
    def _waited_s(self) -> float:
        return sum(waited_s for _, waited_s in self._acks)
