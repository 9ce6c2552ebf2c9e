"""How fast, and how much a day, may go over the wire. Pure: no clock, no link.

Two times are told: `now`, seconds of any monotonic clock, for the rate; and `clock`, whole seconds
that the device ran with its spool, for the day.
"""

import math
from collections.abc import Mapping

_HOUR_S = 3600
# The hour in which the newest 24 began counts whole, so that no 24 hours exceed the budget.
_HOURS = 25
_BURST_S = 1.0


class Pace:
    """A token bucket for the rate, and the bytes of each hour for the daily budget."""

    def __init__(
        self,
        *,
        bytes_per_s: float = 0.0,
        bytes_per_day: int = 0,
        hours: Mapping[int, int] | None = None,
    ) -> None:
        """Begin with a full bucket. hours: bytes spent before, by hour of the clock."""
        self._rate = bytes_per_s
        self._budget = bytes_per_day
        self._hours = dict(hours or {})
        self._tokens = bytes_per_s * _BURST_S
        self._refilled = -math.inf

    def spend(self, size: int, *, now: float, clock: int) -> int:
        """Count what went over the wire; return the bytes of its hour.

        The bucket may be overdrawn, by whatever cannot wait: then the next ones wait longer.
        """
        self._refill(now)
        self._tokens -= size
        hour = clock // _HOUR_S
        self._hours[hour] = self._hours.get(hour, 0) + size
        for old in [kept for kept in self._hours if kept <= hour - _HOURS]:
            del self._hours[old]
        return self._hours[hour]

    def wait_s(self, now: float) -> float:
        """Return how long the rate makes the next message wait; one of any size may go at 0."""
        if self._rate <= 0:
            return 0.0
        self._refill(now)
        # One byte more than nothing, so that rounding never leaves it waiting for no time at all.
        return 0.0 if self._tokens > 0 else (1 - self._tokens) / self._rate

    def fits_the_day(self, size: int, clock: int) -> bool:
        """Return whether the daily budget has room for so many bytes."""
        return not self._budget or self.spent(clock) + size <= self._budget

    def spent(self, clock: int) -> int:
        """Return the bytes of the newest 24 hours, and of the hour in which they begin."""
        hour = clock // _HOUR_S
        return sum(size for kept, size in self._hours.items() if hour - _HOURS < kept <= hour)

    def left(self, clock: int) -> int:
        """Return what is left of the daily budget; 0 also where there is none."""
        return max(0, self._budget - self.spent(clock))

    def share_of_the_day(self, clock: int) -> float:
        """Return what a day like the newest hour takes of the budget; 0 where there is none."""
        if not self._budget:
            return 0.0
        hour, second = divmod(clock, _HOUR_S)
        before = self._hours.get(hour - 1, 0) * (1 - second / _HOUR_S)
        return 24 * (self._hours.get(hour, 0) + before) / self._budget

    def _refill(self, now: float) -> None:
        if self._refilled > -math.inf:
            gained = self._rate * max(0.0, now - self._refilled)
            self._tokens = min(self._tokens + gained, self._rate * _BURST_S)
        self._refilled = max(now, self._refilled)
