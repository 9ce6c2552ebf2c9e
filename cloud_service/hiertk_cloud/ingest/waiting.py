"""Messages that wait for the log: a bounded queue for each device, emptied fairly.

A device above its rate waits; its messages then are acknowledged later, and its own window slows
it down. What a full queue cannot take is left without an answer, and the device sends it again.
"""

import queue
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from hiertk_cloud.ingest.limits import Limits, RateLimiter

MAX_BYTES = 64 << 20  # of all devices
MAX_DEVICE_MESSAGES = 256
MAX_DEVICES = 10_000
_LOOK_AGAIN_S = 0.005


_Arrival = tuple[str, bytes, float]  # topic, payload, when


@dataclass(frozen=True)
class Message:
    """A message as it came. device: empty for a topic of none. arrived: of the monotonic clock."""

    device: str
    topic: str
    payload: bytes
    arrived: float


class _Line:
    """One device's messages."""

    def __init__(self, limits: Limits) -> None:
        self.messages: deque[Message] = deque()
        self.limiter = RateLimiter(limits)


class WaitingMessages:
    """Filled by one thread, emptied by one other."""

    def __init__(
        self,
        limits: Limits,
        *,
        device_of: Callable[[str], str | None],
        on_overflow: Callable[[str], None],
    ) -> None:
        """Prepare. device_of: of a topic. on_overflow: gets the device of a message left out."""
        self._limits = limits
        self._device_of = device_of
        self._on_overflow = on_overflow
        # In C, without a lock that the link's thread would wait for: 1 us a message, not 15 to 50.
        self._arrivals: queue.SimpleQueue[_Arrival] = queue.SimpleQueue()
        self._bytes_in = 0  # changed by the filling thread only
        self._bytes_out = 0  # changed by the emptying thread only
        self._lines: dict[str, _Line] = {}
        self._order: deque[str] = deque()  # devices with messages, the next one first

    def put(self, topic: str, payload: bytes) -> bool:
        """Take a message, or return False if there is no room for any."""
        if self._bytes_in - self._bytes_out + len(payload) > MAX_BYTES:
            return False
        self._bytes_in += len(payload)
        self._arrivals.put((topic, payload, time.monotonic()))
        return True

    def take(self, *, count: int, max_bytes: int, wait_s: float) -> list[Message]:
        """Return what is there, one message of each device in turn, up to both limits.

        Waits so many seconds for the first one.
        """
        deadline = time.monotonic() + wait_s
        taken: list[Message] = []
        while not taken and (left := deadline - time.monotonic()) > 0:
            self._sort_in(min(left, _LOOK_AGAIN_S) if self._order else left)
            size = 0
            while len(taken) < count and size < max_bytes and (found := self._next()) is not None:
                taken.append(found)
                size += len(found.payload)
        return taken

    def _sort_in(self, wait_s: float) -> None:
        with suppress(queue.Empty):
            self._stand_in_line(self._arrivals.get(timeout=wait_s))
            while True:
                self._stand_in_line(self._arrivals.get_nowait())

    def _stand_in_line(self, arrival: _Arrival) -> None:
        topic, payload, arrived = arrival
        device = self._device_of(topic) or ""
        line = self._lines.get(device)
        if line is None and len(self._lines) < MAX_DEVICES:
            line = self._lines[device] = _Line(self._limits)
        if line is None or len(line.messages) >= MAX_DEVICE_MESSAGES:
            self._bytes_out += len(payload)
            self._on_overflow(device)
            return
        if not line.messages:
            self._order.append(device)
        line.messages.append(Message(device, topic, payload, arrived))

    def _next(self) -> Message | None:
        for _ in range(len(self._order)):
            device = self._order.popleft()
            line = self._lines[device]
            if not line.limiter.is_open:
                self._order.append(device)
                continue
            message = line.messages.popleft()
            line.limiter.spend(len(message.payload))
            self._bytes_out += len(message.payload)
            if line.messages:
                self._order.append(device)
            return message
        return None
