"""Requests that wait for their turn: a short line for each device, taken fairly."""

import threading
import time
from collections import deque
from dataclasses import dataclass, field

MAX_OF_A_DEVICE = 8
MAX_REQUESTS = 64  # of all devices
MAX_BYTES = 8 << 20


@dataclass(frozen=True)
class WaitingRequest:
    """A request as it came. arrived: of the monotonic clock."""

    device: str
    correlation: bytes
    payload: bytes
    arrived: float = field(default_factory=time.monotonic)


class RequestLines:
    """Bounded in requests and bytes; any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[str, deque[WaitingRequest]] = {}  # only devices that wait, next one first
        self._count = 0
        self._bytes = 0

    def put(self, request: WaitingRequest) -> bool:
        """Let a request stand in its device's line; False if there is no room."""
        size = len(request.payload)
        with self._lock:
            line = self._lines.get(request.device, ())
            is_full = self._count >= MAX_REQUESTS or self._bytes + size > MAX_BYTES
            if is_full or len(line) >= MAX_OF_A_DEVICE:
                return False
            self._lines.setdefault(request.device, deque()).append(request)
            self._count += 1
            self._bytes += size
        return True

    def take(self) -> WaitingRequest | None:
        """Return the next request, one of each device in turn; None if nobody waits."""
        with self._lock:
            if not self._lines:
                return None
            device = next(iter(self._lines))
            line = self._lines.pop(device)
            request = line.popleft()
            if line:
                self._lines[device] = line  # behind all others
            self._count -= 1
            self._bytes -= len(request.payload)
        return request
