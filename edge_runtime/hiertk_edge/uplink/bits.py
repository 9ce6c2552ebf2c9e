"""How many bits the features have, as the link can carry them. Pure: no clock, no link.

They go down to 4 at once when one of these holds:
- what the spool holds takes more than 60 s at the rate at which bytes are acknowledged
- the cloud has been out of reach for 30 s
- a day like the newest hour takes more than the daily budget

and back to 8 when all of these have held for 60 s:
- what the spool holds takes less than 5 s
- the cloud is in reach
- a day like the newest hour, at 8 bits, would keep within the budget: at 4 bits, with zstd, it is
  2 to 2.5 times smaller
"""

from dataclasses import dataclass

from hiertk_edge.uplink.limits import BitsSetting

_FEW = 4
_TIGHT_BACKLOG_S = 60.0
_TIGHT_OFFLINE_S = 30.0
_EASY_BACKLOG_S = 5.0
_EASY_SHARE = 1 / 2.5
_EASY_FOR_S = 60.0


@dataclass(frozen=True)
class LinkState:
    """What the rule looks at.

    backlog_s: what the spool holds, at the rate of acknowledged bytes; NaN: no rate is known yet,
    which is neither tight nor easy. offline_s: since when the cloud is out of reach, 0: it is not.
    day_share: what a day like the newest hour takes of the daily budget.
    """

    backlog_s: float
    offline_s: float = 0.0
    day_share: float = 0.0

    @property
    def is_tight(self) -> bool:
        """Whether 8 bits are too many."""
        return (
            self.backlog_s > _TIGHT_BACKLOG_S
            or self.offline_s >= _TIGHT_OFFLINE_S
            or self.day_share > 1
        )

    @property
    def is_easy(self) -> bool:
        """Whether 8 bits would fit."""
        return (
            self.backlog_s < _EASY_BACKLOG_S
            and self.offline_s == 0
            and self.day_share <= _EASY_SHARE
        )


class BitsRule:
    """The rule and its memory: how long the link has been easy."""

    def __init__(self, setting: BitsSetting, most: int) -> None:
        """Begin with the most. most: the bundle's own bits, which are never exceeded."""
        self._most = most if setting == "auto" else min(most, setting)
        self._adapts = setting == "auto" and most > _FEW
        self._easy_since: float | None = None
        self.bits = self._most

    def look(self, link: LinkState, now: float) -> int:
        """Return the bits from now on. now: seconds of any monotonic clock."""
        if not self._adapts:
            return self.bits
        if link.is_tight:
            self.bits = _FEW
        if not link.is_easy:
            self._easy_since = None
        elif self._easy_since is None:
            self._easy_since = now
        elif now - self._easy_since >= _EASY_FOR_S:
            self.bits = self._most
        return self.bits
