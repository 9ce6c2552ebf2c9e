"""Where devices' requests of one kind come in, and where their answers go out.

A device that asks more than is answered is told so, and harms nobody else.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hiertk_protocol.mqtt import Incoming, Request
from hiertk_protocol.topics import Topics

from hiertk_cloud.requests.lines import RequestLines, WaitingRequest

MAX_CORRELATION_BYTES = 64


class Publish(Protocol):
    """What sends a reply: MqttLink.publish."""

    def __call__(self, topic: str, payload: bytes, *, request: Request) -> object: ...


@dataclass(frozen=True)
class RequestKind:
    """What the requests of a desk are.

    name: in the lines that are told. max_bytes: of a request. reply_topic: of a device. refusal:
    makes the message that gives a reason.
    """

    name: str
    max_bytes: int
    reply_topic: Callable[[str], str]
    refusal: Callable[[str], bytes]


@dataclass(frozen=True)
class RequestTotals:
    """Requests since the service started.

    refused: for a reason that the device was told, unless it floods. unusable: of no device, or
    without the correlation that a reply needs.
    """

    answered: int = 0
    refused: int = 0
    unusable: int = 0


class RequestDesk:
    """Takes requests in the link's thread; whoever answers them takes them out of `lines`."""

    def __init__(
        self,
        kind: RequestKind,
        topics: Topics,
        *,
        publish: Publish,
        tell: Callable[[str, str], None],
        may_tell_refusal: Callable[[str], bool],
    ) -> None:
        """Prepare. may_tell_refusal: whether a device is answered with one more refusal now."""
        self.lines = RequestLines()
        self._kind = kind
        self._topics = topics
        self._publish = publish
        self._tell = tell
        self._may_tell_refusal = may_tell_refusal
        self._lock = threading.Lock()  # refusals come from both threads
        self._answered = 0
        self._refused = 0
        self._unusable = 0

    @property
    def totals(self) -> RequestTotals:
        """What became of the requests so far."""
        return RequestTotals(self._answered, self._refused, self._unusable)

    def admit(self, incoming: Incoming) -> WaitingRequest | None:
        """Return a request that can be answered, None after telling why it can't; never blocks."""
        device = self._topics.device_of(incoming.topic)
        if device is None or not 0 < len(incoming.correlation) <= MAX_CORRELATION_BYTES:
            self._unusable += 1
            self._tell(
                f"unusable-{self._kind.name}",
                f"no device or no correlation ({incoming.topic[:200]!r})",
            )
            return None
        size = len(incoming.payload)
        if size > self._kind.max_bytes:
            empty = WaitingRequest(device, incoming.correlation, b"")
            self.refuse(empty, f"{size} bytes, more than {self._kind.max_bytes}")
            return None
        return WaitingRequest(device, incoming.correlation, incoming.payload)

    def answer(self, request: WaitingRequest, payload: bytes) -> None:
        """Send a request's answer."""
        self._answered += 1
        self._send(request, payload)

    def refuse(self, request: WaitingRequest, reason: str) -> None:
        """Send a request's refusal, unless its device has had too many."""
        with self._lock:
            self._refused += 1
            is_told = self._may_tell_refusal(request.device)
        if is_told:
            self._send(request, self._kind.refusal(reason))
        self._tell(f"refused-{self._kind.name}", f"{request.device}: {reason}")

    def _send(self, request: WaitingRequest, payload: bytes) -> None:
        # To the device that the topic names, whatever response topic it asked for.
        topic = self._kind.reply_topic(request.device)
        self._publish(topic, payload, request=Request(correlation=request.correlation))
