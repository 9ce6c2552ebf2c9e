"""Predictions for devices: their requests are answered in the trainer's thread, between two steps.

A request stores nothing and trains nothing. A device that asks more than is answered is told so,
and harms nobody else.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Protocol

import numpy as np
from hiertk_protocol.codec import Float32Array
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.mqtt import Incoming, Request
from hiertk_protocol.prediction_messages import (
    FinalExitReply,
    FinalExitRequest,
    PredictionContract,
    among_slots,
)
from hiertk_protocol.topics import Topics

from hiertk_cloud.ingest.limits import Limits, RateLimiter
from hiertk_cloud.predictions.request_lines import RequestLines, WaitingRequest
from hiertk_cloud.training.learner import CloudLearner

MAX_CORRELATION_BYTES = 64
_AT_A_TURN = 16  # requests; and no further one once there are so many samples:
_SAMPLES_AT_A_TURN = 32
_REFUSALS_PER_S = 20.0
_NEWEST_REPLIES = 200


class Publish(Protocol):
    """What sends a reply: MqttLink.publish."""

    def __call__(self, topic: str, payload: bytes, *, request: Request) -> object: ...


@dataclass(frozen=True)
class PredictionTotals:
    """Requests since the service started.

    refused: for a reason that the device was told, unless it floods. unusable: of no device, or
    without the correlation that a reply needs. wait_ms: the median from a request's arrival to its
    reply, of the newest; NaN before one.
    """

    answered: int = 0
    refused: int = 0
    unusable: int = 0
    wait_ms: float = math.nan


class Predictions:
    """Takes requests in the link's thread, and answers them in the thread that calls `turn`."""

    def __init__(
        self,
        manifest: Manifest,
        *,
        publish: Publish,
        tell: Callable[[str, str], None],
        limits: Limits,
        arrived: threading.Event,
    ) -> None:
        """Prepare. arrived: set when a request waits, to wake the thread that answers."""
        self._contract = PredictionContract(manifest)
        self._topics = Topics(manifest.deployment)
        self._publish = publish
        self._tell = tell
        self._max_bytes = limits.payload_bytes
        self._arrived = arrived
        self._lines = RequestLines()
        self._lock = threading.Lock()
        # A refusal is a message, too: a flood is not answered with another.
        self._refusals = RateLimiter(Limits(messages_per_s=_REFUSALS_PER_S))
        self._answered = 0
        self._refused = 0
        self._unusable = 0
        self._waits_ms: deque[float] = deque(maxlen=_NEWEST_REPLIES)

    @property
    def totals(self) -> PredictionTotals:
        """What became of the requests so far."""
        waits = list(self._waits_ms)
        wait_ms = median(waits) if waits else math.nan
        return PredictionTotals(self._answered, self._refused, self._unusable, wait_ms)

    def receive(self, incoming: Incoming) -> None:
        """Take a request from the broker; never blocks."""
        device = self._topics.device_of(incoming.topic)
        if device is None or not 0 < len(incoming.correlation) <= MAX_CORRELATION_BYTES:
            self._unusable += 1
            self._tell(
                "unusable-request", f"no device or no correlation ({incoming.topic[:200]!r})"
            )
            return
        size = len(incoming.payload)
        if size > self._max_bytes:
            empty = WaitingRequest(device, incoming.correlation, b"")
            self._refuse(empty, f"{size} bytes, more than {self._max_bytes}")
            return
        request = WaitingRequest(device, incoming.correlation, incoming.payload)
        if not self._lines.put(request):
            self._refuse(request, "too many requests")
        self._arrived.set()

    def turn(self, learner: CloudLearner, cloud_step: int) -> None:
        """Answer the next requests, all in one batch, with the weights of a cloud step."""
        readable = self._readable()
        if not readable:
            return
        found = learner.probabilities([asked.features for _, asked in readable])
        edges = np.cumsum([len(asked.features.values) for _, asked in readable])[:-1]
        for (request, asked), probabilities in zip(readable, np.split(found, edges), strict=True):
            self._answer(request, asked, cloud_step, probabilities)

    def _readable(self) -> list[tuple[WaitingRequest, FinalExitRequest]]:
        found: list[tuple[WaitingRequest, FinalExitRequest]] = []
        samples = 0
        for _ in range(_AT_A_TURN):
            request = self._lines.take() if samples < _SAMPLES_AT_A_TURN else None
            if request is None:
                break
            self._arrived.set()  # more may wait
            try:
                asked = self._contract.read_request(request.payload)
            except ProtocolError as error:
                self._refuse(request, str(error))
                continue
            found.append((request, asked))
            samples += len(asked.features.values)
        return found

    def _answer(
        self,
        request: WaitingRequest,
        asked: FinalExitRequest,
        cloud_step: int,
        probabilities: Float32Array,
    ) -> None:
        if not np.isfinite(probabilities).all():
            self._refuse(request, "the final exit's answer is not finite")
            return
        try:
            probabilities = among_slots(probabilities, asked.capacity)
        except ProtocolError as error:
            self._refuse(request, str(error))
            return
        self._answered += 1
        self._waits_ms.append(1000 * (time.monotonic() - request.arrived))
        self._send(request, self._contract.reply(FinalExitReply(cloud_step, probabilities)))

    def _refuse(self, request: WaitingRequest, reason: str) -> None:
        with self._lock:
            self._refused += 1
            is_told = self._refusals.admits(0)
        if is_told:
            self._send(request, self._contract.refusal(reason))
        self._tell("refused-request", f"{request.device}: {reason}")

    def _send(self, request: WaitingRequest, payload: bytes) -> None:
        # To the device that the topic names, whatever response topic it asked for.
        topic = self._topics.predict_reply(request.device)
        self._publish(topic, payload, request=Request(correlation=request.correlation))
