"""Requests for a class's slot: taken in the link's thread, answered in the writer's."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from hiertk_protocol.class_requests import MAX_REQUEST_BYTES, ClassContract
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.mqtt import Incoming
from hiertk_protocol.topics import Topics

from hiertk_cloud.classes.classes import Classes
from hiertk_cloud.ingest.limits import Limits, RateLimiter
from hiertk_cloud.log import DiskFullError
from hiertk_cloud.requests.desk import Publish, RequestDesk, RequestKind, RequestTotals
from hiertk_cloud.requests.lines import WaitingRequest

REQUESTS = Limits(messages_per_s=1.0, bytes_per_s=float(MAX_REQUEST_BYTES))  # of one device
_MOST_DEVICES = 10_000
_AT_A_TURN = 8  # a new name is one commit, and batches wait meanwhile


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
        topics = Topics(manifest.deployment)
        self._contract = ClassContract(manifest)
        self._classes = classes
        self._lock = threading.Lock()  # of the allowances, which both threads change
        self._allowances: OrderedDict[str, _Allowance] = OrderedDict()
        self._desk = RequestDesk(
            RequestKind(
                name="class-request",
                max_bytes=MAX_REQUEST_BYTES,
                reply_topic=topics.class_reply,
                refusal=self._contract.refusal,
            ),
            topics,
            publish=publish,
            tell=tell,
            may_tell_refusal=self._may_tell_refusal,
        )

    @property
    def totals(self) -> RequestTotals:
        """What became of the requests."""
        return self._desk.totals

    def receive(self, incoming: Incoming) -> None:
        """Take a request from the broker; never blocks."""
        request = self._desk.admit(incoming)
        if request and not (self._may_ask(request) and self._desk.lines.put(request)):
            self._desk.refuse(request, "too many requests: one a second is answered")

    def turn(self) -> None:
        """Answer some of the requests that wait. Raises StorageError."""
        for _ in range(_AT_A_TURN):
            request = self._desk.lines.take()
            if request is None:
                return
            self._answer(request)

    def _answer(self, request: WaitingRequest) -> None:
        try:
            name = self._contract.read_request(request.payload)
            given = self._classes.request(name, request.device)
        except (ProtocolError, DiskFullError) as error:
            self._desk.refuse(request, str(error))
            return
        self._desk.answer(request, self._contract.reply(given))

    def _may_ask(self, request: WaitingRequest) -> bool:
        with self._lock:
            return self._allowance_of(request.device).requests.admits(len(request.payload))

    def _may_tell_refusal(self, device: str) -> bool:
        with self._lock:
            return self._allowance_of(device).refusals.admits(0)

    def _allowance_of(self, device: str) -> _Allowance:
        found = self._allowances.pop(device, None) or _Allowance()
        self._allowances[device] = found  # behind those that asked longer ago
        if len(self._allowances) > _MOST_DEVICES:
            self._allowances.popitem(last=False)
        return found
