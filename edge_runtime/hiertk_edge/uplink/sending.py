"""Sending the spool in order: what fits the window, the pace and the link; again until it is acked.

A message in the spool may be larger than what the link takes now: another broker, or a cloud with
other limits. It is split along N, and its parts get new numbers at the end, unless it may have been
published before: the cloud may have stored it then, and its samples would count twice.
"""

import logging
import math
import time
from typing import TYPE_CHECKING

from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import Ack, FeatureBatch
from hiertk_protocol.host.problems import Problems

from hiertk_edge.spool import Spool, Stored
from hiertk_edge.training.encoding import split
from hiertk_edge.uplink.ack_rate import AckRate
from hiertk_edge.uplink.limits import UplinkLimits
from hiertk_edge.uplink.window import SendWindow
from hiertk_edge.uplink.wire import Wire, packet_bytes

if TYPE_CHECKING:
    import paho.mqtt.client as paho

_FLOOR_BYTES = 11  # at most, of the floor that each message gets
_SILENT_CLOUD = (
    "the cloud is online but acknowledges nothing: sending again "
    "(may this device publish to this broker?)"
)
_log = logging.getLogger(__name__)


class Sender:
    """The messages on their way; used by the uplink's thread only."""

    def __init__(
        self, spool: Spool, wire: Wire, topic: str, limits: UplinkLimits, problems: Problems
    ) -> None:
        self._spool = spool
        self._wire = wire
        self._topic = topic
        self._budget = limits.bytes_per_day
        self._problems = problems
        self._window = SendWindow(limits.window)
        self._rate = AckRate()
        self._carried: list[paho.MQTTMessageInfo] = []
        self._paced_until = math.inf
        self._waits_for_budget = False
        self.sent_total = 0
        self.sent_bytes = 0

    @property
    def deadline(self) -> float:
        """When to look again, even if nothing happens; seconds of the monotonic clock."""
        late = self._window.deadline
        return self._paced_until if late is None else min(late, self._paced_until)

    @property
    def is_out_of_budget(self) -> bool:
        """Whether features wait for the daily budget, or nothing is left of it."""
        return self._waits_for_budget or not self._wire.fits_the_day(1)

    def backlog_s(self) -> float:
        """Return how long what is held takes at the rate of acknowledged bytes; NaN: unknown."""
        held = self._spool.totals.held_bytes
        return self._rate.seconds_for(held, self._window.waited_s(time.monotonic()))

    def start_over(self, most_messages: int) -> None:
        """Send everything again. most_messages: unacknowledged ones that the broker takes."""
        self._window.restart()
        self._window.take_at_most(most_messages)
        self._carried.clear()
        self._paced_until = math.inf
        self._problems.end("too large")

    def acknowledge(self, ack: Ack) -> list[str]:
        """Settle what the cloud has; return its reasons for what it refused.

        Raises ProtocolError if the ack is for another spool.
        """
        if ack.epoch != self._spool.epoch:
            raise ProtocolError("an ack for another spool than this one")
        refused = {refusal.seq: refusal.reason for refusal in ack.refused}
        reasons = self._spool.settle(ack.through, ack.beyond, refused).values()
        now = time.monotonic()
        waited_s = self._window.waited_s(now)
        size = self._window.acknowledged(ack.through, {*ack.beyond, *refused}, now)
        if size:
            self._rate.add(size, waited_s)
            self._problems.end("silent cloud", "the cloud acknowledges again")
        self._carried = [info for info in self._carried if not info.is_published()]
        return list(reasons)

    def send_again_if_late(self) -> None:
        """Send everything again if the newest ack is too long ago."""
        deadline = self._window.deadline
        if deadline is None or time.monotonic() < deadline:
            return
        if self._window.can_be_patient and not all(i.is_published() for i in self._carried):
            self._window.be_patient()  # a slow link still carries them
            return
        self._window.timed_out()
        self._carried.clear()
        self._problems.begin("silent cloud", _SILENT_CLOUD)

    def send_what_fits(self, max_bytes: int) -> None:
        """Send the next messages that window and pace have room for. max_bytes: of a message."""
        self._paced_until = math.inf
        while not self._window.is_full:
            size = self._spool.size_after(self._window.sent_through)
            if size is None:
                self._waits_for_budget = False
                return
            if not self._has_room(size + _FLOOR_BYTES):
                return
            stored = self._spool.next_after(self._window.sent_through)
            if stored is None:
                return
            # Protobuf merges what is concatenated: the last floor counts.
            floor = FeatureBatch(floor=self._spool.floor).SerializeToString()
            payload = stored.message + floor
            if len(payload) > max_bytes:
                self._make_smaller(stored, max_bytes)
            elif not self._send(stored.seq, payload):
                return

    def _has_room(self, size: int) -> bool:
        if not self._window.has_room(size):
            return False
        wait_s = self._wire.wait_s()
        if wait_s > 0:
            self._paced_until = time.monotonic() + wait_s
            return False
        self._waits_for_budget = not self._wire.fits_the_day(packet_bytes(self._topic, size))
        if self._waits_for_budget:
            text = f"the daily budget of {self._budget} bytes is used up: features wait"
            self._problems.begin("budget", text)
            return False
        self._problems.end("budget", "the daily budget has room again: features are sent")
        return True

    def _send(self, seq: int, payload: bytes) -> bool:
        self._spool.note_published(seq)
        info = self._wire.publish(self._topic, payload)
        if info is None:
            return False
        self._carried.append(info)
        self._window.sent(seq, len(payload), time.monotonic())
        self.sent_total += 1
        self.sent_bytes += len(payload)
        return True

    def _make_smaller(self, stored: Stored, max_bytes: int) -> None:
        parts = self._parts(stored, max_bytes)
        if parts:
            numbers = self._spool.split(stored.seq, parts)
            _log.info("message %d is now %d: the link takes less", stored.seq, len(numbers))
            return
        # It would never arrive, and everything behind it would wait.
        self._spool.drop(stored.seq)
        self._problems.begin(
            "too large",
            f"dropped a message of {len(stored.message)} bytes: the link takes up to {max_bytes}; "
            "raise the limit of the broker or the cloud",
        )

    def _parts(self, stored: Stored, max_bytes: int) -> list[FeatureBatch]:
        if self._spool.may_be_published(stored.seq):
            return []
        try:
            return split(stored.message, max_bytes)
        except ProtocolError:
            return []
