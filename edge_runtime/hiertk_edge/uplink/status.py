"""The device's status: what spool and uplink add to the trainer's, and when it is published."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from hiertk_protocol.hiertk_pb2 import DeviceStatus
from hiertk_protocol.host.problems import Problems

from hiertk_edge.spool import SpoolLimits, SpoolTotals

# Not one default value only: that would be an empty payload, which deletes the retained status.
STATUS_OF_THE_WILL = DeviceStatus(
    state=DeviceStatus.OFFLINE,
    early_exit_loss=math.nan,
    early_exit_accuracy=math.nan,
    early_exit_held_out_accuracy=math.nan,
    step_ms=math.nan,
    temperature_c=math.nan,
)
_MOST_PROBLEMS = 8
_PROBLEM_BYTES = 200
_POOR_EVERY_S = 60.0
_SHARE_OF_BUDGET = 0.1
_DAY_S = 86_400
_CALM_S = 60.0


def add_totals(status: DeviceStatus, totals: SpoolTotals) -> None:
    """Fill in what the spool counts."""
    status.spool_batches = totals.held
    status.spool_bytes = totals.held_bytes
    status.spooled_total = totals.spooled
    # Those are gone like dropped ones; the problems say which it was.
    status.dropped_total = totals.dropped + totals.too_large + totals.damaged
    status.refused_total = totals.refused
    status.samples_total = totals.samples
    status.payload_bytes_total = totals.payload_bytes
    status.thinned_total = totals.thinned
    status.requantized_total = totals.requantized
    status.aged_total = totals.aged


def add_problems(status: DeviceStatus, problems: Problems) -> None:
    """Fill in what is wrong now, shortened to what a status may hold."""
    lines = [line.encode()[:_PROBLEM_BYTES] for line in problems.lines[:_MOST_PROBLEMS]]
    status.problems[:] = [line.decode(errors="ignore") for line in lines]


class StatusRhythm:
    """When the next status is due: regularly, and at once when the state changes.

    With a daily budget the status takes at most a tenth of it, but goes once a minute; once the
    budget is used up, no more often than that whatever changes.
    """

    def __init__(self, every_s: float, bytes_per_day: int) -> None:
        self._every_s = every_s
        self._budget = bytes_per_day
        self._published = DeviceStatus()
        self._published_at = -math.inf
        self.due = 0.0

    def forget(self) -> None:
        """Publish again, whatever was: the broker may hold the last will."""
        self._published = DeviceStatus()
        self._published_at = -math.inf
        self.due = 0.0

    def is_due(self, state: int, *, out_of_budget: bool) -> bool:
        """Return whether to publish now, if anything has changed."""
        now = time.monotonic()
        if out_of_budget:
            self.due = max(self.due, self._published_at + _POOR_EVERY_S)
            return now >= self.due
        return now >= self.due or state != self._published.state

    def is_news(self, status: DeviceStatus) -> bool:
        """Return whether the status says anything but what its own sending has cost."""
        return _without_costs(status) != _without_costs(self._published)

    def looked(self, packet_bytes: int) -> None:
        """Note that the status was looked at. packet_bytes: what it takes on the wire."""
        every_s = self._every_s
        if self._budget:
            affordable_s = _DAY_S * packet_bytes / (_SHARE_OF_BUDGET * self._budget)
            every_s = max(every_s, min(affordable_s, _POOR_EVERY_S))
        self.due = time.monotonic() + every_s

    def published(self, status: DeviceStatus) -> None:
        """Note what was published."""
        self._published = status
        self._published_at = time.monotonic()


@dataclass
class _Loss:
    """A count of the spool that should not grow."""

    kind: str
    count: Callable[[SpoolTotals], int]
    begin: str
    end: str
    seen: int = 0
    grew_at: float = -math.inf


class SpoolWatch:
    """Tells when the spool begins to lose something, and when it has not for a minute."""

    def __init__(self, totals: SpoolTotals, limits: SpoolLimits, problems: Problems) -> None:
        self._problems = problems
        gives_way = {
            "drop-oldest": "the oldest messages go",
            "drop-newest": "new messages are not stored",
            "thin-out": "messages lose samples",
            "fewer-bits": "messages are reduced to 4 bits, then the oldest go",
        }[limits.when_full]
        self._losses = (
            _Loss(
                "spool full",
                lambda totals: totals.dropped + totals.thinned + totals.requantized,
                f"the spool is full ({limits.max_bytes >> 20} MiB): {gives_way}",
                "the spool has room again",
            ),
            _Loss(
                "spool age",
                lambda totals: totals.aged,
                f"messages go that are older than {limits.max_age_s / 3600:g} h",
                "no messages are too old any more",
            ),
            _Loss(
                "spool damaged",
                lambda totals: totals.damaged,
                "messages in the spool are damaged and go: is the disk failing?",
                "no more damaged messages in the spool",
            ),
        )
        for loss in self._losses:
            loss.seen = loss.count(totals)

    def look(self, totals: SpoolTotals) -> None:
        """Compare the counts with those of the last look."""
        now = time.monotonic()
        for loss in self._losses:
            count = loss.count(totals)
            if count > loss.seen:
                loss.seen, loss.grew_at = count, now
                self._problems.begin(loss.kind, loss.begin)
            elif now - loss.grew_at >= _CALM_S:
                self._problems.end(loss.kind, loss.end)


def _without_costs(status: DeviceStatus) -> bytes:
    """Return the status as bytes: NaN, which stands for unknown, is not equal to itself."""
    found = DeviceStatus()
    found.CopyFrom(status)
    found.ClearField("wire_bytes")
    found.ClearField("budget_left_bytes")
    data: bytes = found.SerializeToString(deterministic=True)
    return data
