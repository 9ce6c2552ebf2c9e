"""Throughput over the newest seconds, from counts taken now and then. Pure."""

from collections import deque
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

WINDOW_S = 10.0


class Rates(BaseModel):
    """Per second; None until there are two counts within the window."""

    model_config = ConfigDict(frozen=True)

    stored_batches: float | None = None
    trained_batches: float | None = None
    stored_bytes: float | None = None


@dataclass(frozen=True)
class Counts:
    """What was counted at one moment. time: seconds of a clock that never goes back."""

    time: float
    stored_batches: int
    trained_batches: int
    stored_bytes: int


class RateMeter:
    """Remembers the counts of one window."""

    def __init__(self) -> None:
        self._counts: deque[Counts] = deque()

    def note(self, now: Counts) -> Rates:
        """Add counts and return the rates since the oldest ones in the window."""
        self._counts.append(now)
        while self._counts[0].time < now.time - WINDOW_S:
            self._counts.popleft()
        first = self._counts[0]
        seconds = now.time - first.time
        if seconds <= 0:
            return Rates()
        return Rates(
            stored_batches=_rate(first.stored_batches, now.stored_batches, seconds),
            trained_batches=_rate(first.trained_batches, now.trained_batches, seconds),
            stored_bytes=_rate(first.stored_bytes, now.stored_bytes, seconds),
        )


def _rate(before: int, after: int, seconds: float) -> float:
    return max(0, after - before) / seconds
