"""Which messages are on their way, and when to send them again. Pure: no clock, no broker."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class WindowLimits:
    """How much may be unacknowledged, and how long an acknowledgement may take."""

    messages: int = 32
    bytes: int = 1 << 20
    first_timeout_s: float = 5.0
    last_timeout_s: float = 60.0


class SendWindow:
    """The unacknowledged messages; times are seconds of any monotonic clock."""

    def __init__(self, limits: WindowLimits) -> None:
        self._limits = limits
        self._most_messages = limits.messages
        self._sizes: dict[int, int] = {}
        self._timeout_s = limits.first_timeout_s
        self._since = 0.0
        self._sent_through = 0

    @property
    def sent_through(self) -> int:
        """The highest sequence number sent in this round; what lies above is next."""
        return self._sent_through

    @property
    def is_full(self) -> bool:
        """Whether even an empty message has no room."""
        return len(self._sizes) >= self._most_messages or self._bytes >= self._limits.bytes

    def take_at_most(self, messages: int) -> None:
        """Hold fewer messages than the limits say, if the broker takes fewer."""
        self._most_messages = max(1, min(messages, self._limits.messages))

    @property
    def deadline(self) -> float | None:
        """When to send again unless something is acknowledged before; None if nothing is sent."""
        return self._since + self._timeout_s if self._sizes else None

    def waited_s(self, now: float) -> float:
        """Return the seconds since the newest ack, or since the first message; 0 if none is out."""
        return now - self._since if self._sizes else 0.0

    def has_room(self, size: int) -> bool:
        """Return whether a message of `size` bytes may be sent; one may always be on its way."""
        if not self._sizes:
            return True
        return not self.is_full and self._bytes + size <= self._limits.bytes

    def sent(self, seq: int, size: int, now: float) -> None:
        """Note that a message went out."""
        if not self._sizes:
            self._since = now
        self._sizes[seq] = size
        self._sent_through = max(self._sent_through, seq)

    def acknowledged(self, through: int, others: Collection[int], now: float) -> int:
        """Forget what is settled, and return its bytes; what is left gets its full time again."""
        settled = [seq for seq in self._sizes if seq <= through or seq in others]
        size = sum(self._sizes.pop(seq) for seq in settled)
        self._since = now
        self._timeout_s = self._limits.first_timeout_s
        return size

    @property
    def can_be_patient(self) -> bool:
        """Whether the wait may still grow."""
        return self._timeout_s < self._limits.last_timeout_s

    def be_patient(self) -> None:
        """Wait longer for what is on its way, and send nothing again yet."""
        self._timeout_s = self._longer()

    def timed_out(self) -> None:
        """Send everything again, and wait twice as long for it."""
        self.restart()
        self._timeout_s = self._longer()

    def restart(self) -> None:
        """Send everything again."""
        self._sizes.clear()
        self._sent_through = 0

    def _longer(self) -> float:
        return min(2 * self._timeout_s, self._limits.last_timeout_s)

    @property
    def _bytes(self) -> int:
        return sum(self._sizes.values())
