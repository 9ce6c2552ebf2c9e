"""Requests for a class's slot: taken in the link's thread, answered in the writer's.

A device that asks more than is answered is told so, and harms nobody else.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from hiertk_protocol.class_requests import MAX_REQUEST_BYTES, ClassContract
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.mqtt import Incoming, Request
from hiertk_protocol.topics import Topics

from hiertk_cloud.classes.classes import Classes
from hiertk_cloud.ingest.limits import Limits, RateLimiter
from hiertk_cloud.log import DiskFullError
from hiertk_cloud.predictions.predictions import MAX_CORRELATION_BYTES, Publish
from hiertk_cloud.predictions.request_lines import RequestLines, WaitingRequest

REQUESTS = Limits(messages_per_s=1.0, bytes_per_s=float(MAX_REQUEST_BYTES))  # of one device
_MOST_DEVICES = 10_000
_AT_A_TURN = 8  # a new name is one commit, and batches wait meanwhile


@dataclass(frozen=True)
class ClassRequestTotals:
    """Requests for slots since the service started.

    refused: for a reason that the device was told, unless it floods. unusable: of no device, or
    without the correlation that a reply needs.
    """

    answered: int = 0
    refused: int = 0
    unusable: int = 0


@dataclass(frozen=True)
class _Allowance:
    """What one device may ask, and how many refusals it is told."""

    requests: RateLimiter = field(default_factory=lambda: RateLimiter(REQUESTS))
    refusals: RateLimiter = field(default_factory=lambda: RateLimiter(REQUESTS))


class ClassRequests:
    """Takes requests in the link's thread, and answers them in the thread that calls `turn`."""

    def __init__(
        self,
        manifest: Manifest,
        classes: Classes,
        *,
        publish: Publish,
        tell: Callable[[str, str], None],
    ) -> None:
        self._contract = ClassContract(manifest)
        self._classes = classes
        self._topics = Topics(manifest.deployment)
        self._publish = publish
        self._tell = tell
        self._lines = RequestLines()
        self._lock = threading.Lock()  # of what both threads change
        self._allowances: OrderedDict[str, _Allowance] = OrderedDict()
        self._answered = 0
        self._refused = 0
        self._unusable = 0

    @property
    def totals(self) -> ClassRequestTotals:
        """What became of the requests."""
        return ClassRequestTotals(self._answered, self._refused, self._unusable)

    def receive(self, incoming: Incoming) -> None:
        """Take a request from the broker; never blocks."""
        device = self._topics.device_of(incoming.topic)
        if device is None or not 0 < len(incoming.correlation) <= MAX_CORRELATION_BYTES:
            self._unusable += 1
            self._tell(
                "unusable-class-request", f"no device or no correlation ({incoming.topic[:200]!r})"
            )
            return
        size = len(incoming.payload)
        request = WaitingRequest(
            device, incoming.correlation, incoming.payload if size <= MAX_REQUEST_BYTES else b""
        )
        if size > MAX_REQUEST_BYTES:
            self._refuse(request, f"{size} bytes, more than {MAX_REQUEST_BYTES}")
        elif not self._may_ask(request) or not self._lines.put(request):
            self._refuse(request, "too many requests: one a second is answered")

    def turn(self) -> None:
        """Answer some of the requests that wait. Raises StorageError."""
        for _ in range(_AT_A_TURN):
            request = self._lines.take()
            if request is None:
                return
            self._answer(request)

    def _answer(self, request: WaitingRequest) -> None:
        try:
            name = self._contract.read_request(request.payload)
            given = self._classes.request(name, request.device)
        except (ProtocolError, DiskFullError) as error:
            self._refuse(request, str(error))
            return
        self._answered += 1
        self._send(request, self._contract.reply(given))

    def _may_ask(self, request: WaitingRequest) -> bool:
        with self._lock:
            return self._allowance_of(request.device).requests.admits(len(request.payload))

    def _refuse(self, request: WaitingRequest, reason: str) -> None:
        with self._lock:
            self._refused += 1
            is_told = self._allowance_of(request.device).refusals.admits(0)
        if is_told:
            self._send(request, self._contract.refusal(reason))
        self._tell("refused-class-request", f"{request.device}: {reason}")

    def _allowance_of(self, device: str) -> _Allowance:
        found = self._allowances.pop(device, None) or _Allowance()
        self._allowances[device] = found  # behind those that asked longer ago
        if len(self._allowances) > _MOST_DEVICES:
            self._allowances.popitem(last=False)
        return found

    def _send(self, request: WaitingRequest, payload: bytes) -> None:
        # To the device that the topic names, whatever response topic it asked for.
        topic = self._topics.class_reply(request.device)
        self._publish(topic, payload, request=Request(correlation=request.correlation))
