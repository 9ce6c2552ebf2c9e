"""How much the service takes from one device."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from hiertk_protocol.messages import MAX_MESSAGE_BYTES

_BURST_S = 5.0


@dataclass(frozen=True)
class Limits:
    """Limits of each device: bytes of a message, messages and bytes per second, bytes in the log.

    log_bytes: of one device's batches that wait in the log to be consumed; None is no limit.
    """

    message_bytes: int = MAX_MESSAGE_BYTES
    messages_per_s: float = 200.0
    bytes_per_s: float = 16 << 20
    log_bytes: int | None = None

    @property
    def payload_bytes(self) -> int:
        """The largest payload that is taken from the broker."""
        return self.message_bytes + 4096


class RateLimiter:
    """Two token buckets: messages and bytes. A burst of some seconds passes."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._rates = (limits.messages_per_s, limits.bytes_per_s)
        self._most = [max(1.0, rate * _BURST_S) for rate in self._rates]
        self._clock = clock
        self._tokens = self._most
        self._refilled = clock()

    @property
    def is_open(self) -> bool:
        """Whether the next message may pass now."""
        if not self._has_tokens():
            self._refill()
        return self._has_tokens()

    def admits(self, size: int) -> bool:
        """Return whether a message of so many bytes may pass now, and count it if so."""
        may_pass = self.is_open
        if may_pass:
            self.spend(size)
        return may_pass

    def spend(self, size: int) -> None:
        """Count one message of so many bytes; a large one may overdraw, and later ones wait."""
        messages, left = self._tokens
        self._tokens = [messages - 1, left - size]

    def _has_tokens(self) -> bool:
        messages, size = self._tokens
        return messages >= 1 and size > 0

    def _refill(self) -> None:
        now = self._clock()
        passed, self._refilled = now - self._refilled, now
        self._tokens = [
            min(tokens + rate * passed, most)
            for tokens, rate, most in zip(self._tokens, self._rates, self._most, strict=True)
        ]
