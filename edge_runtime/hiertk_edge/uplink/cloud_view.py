"""What the device knows of the cloud: whether it takes messages, and how large ones."""

import time

from hiertk_protocol.hiertk_pb2 import ModelStatus
from hiertk_protocol.messages import MAX_MESSAGE_BYTES, parse_model_status

# Beyond what the cloud says: a message is several times in the device's memory.
_LARGEST_MESSAGE_BYTES = 4 << 20


class CloudView:
    """The cloud's newest status; changed by the uplink's thread only."""

    def __init__(self) -> None:
        self._model = ModelStatus()
        self._offline_since = time.monotonic()
        self._takes = MAX_MESSAGE_BYTES

    @property
    def is_online(self) -> bool:
        """Whether it said last that it is."""
        return self._model.state == ModelStatus.ONLINE

    @property
    def model(self) -> ModelStatus | None:
        """What it says of its training; None while it is offline."""
        return self._model if self.is_online else None

    @property
    def max_message_bytes(self) -> int:
        """The largest message that it takes, as it said last; the protocol's default before."""
        return self._takes

    def offline_s(self) -> float:
        """Return since when it is offline, as far as is known; 0: it is online."""
        return 0.0 if self.is_online else time.monotonic() - self._offline_since

    def take(self, payload: bytes) -> bool:
        """Take its status; return whether it is another incarnation, or came or went.

        Raises ProtocolError.
        """
        old, self._model = self._model, parse_model_status(payload)
        if old.state == ModelStatus.ONLINE and not self.is_online:
            self._offline_since = time.monotonic()
        if self._model.max_message_bytes:
            self._takes = min(self._model.max_message_bytes, _LARGEST_MESSAGE_BYTES)
        return (old.state, old.incarnation) != (self._model.state, self._model.incarnation)

    def lose(self) -> None:
        """Note that the link is down: nothing is known until it says so again."""
        if self.is_online:
            self._offline_since = time.monotonic()
        self._model = ModelStatus()
