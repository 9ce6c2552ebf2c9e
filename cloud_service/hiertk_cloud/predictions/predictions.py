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

import numpy as np
from hiertk_protocol.codec import Float32Array
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.mqtt import Incoming
from hiertk_protocol.prediction_messages import (
    FinalExitReply,
    FinalExitRequest,
    PredictionContract,
    among_slots,
)
from hiertk_protocol.topics import Topics

from hiertk_cloud.ingest.limits import Limits, RateLimiter
from hiertk_cloud.requests.desk import Publish, RequestDesk, RequestKind, RequestTotals
from hiertk_cloud.requests.lines import WaitingRequest
from hiertk_cloud.training.learner import CloudLearner

_AT_A_TURN = 16  # requests; and no further one once there are so many samples:
_SAMPLES_AT_A_TURN = 32
_REFUSALS_PER_S = 20.0
_NEWEST_REPLIES = 200


@dataclass(frozen=True)
class PredictionTotals(RequestTotals):
    """wait_ms: the median from a request's arrival to its reply, of the newest; NaN before one."""

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
        topics = Topics(manifest.deployment)
        self._contract = PredictionContract(manifest)
        self._arrived = arrived
        # A refusal is a message, too: a flood is not answered with another.
        refusals = RateLimiter(Limits(messages_per_s=_REFUSALS_PER_S))
        self._desk = RequestDesk(
            RequestKind(
                name="request",
                max_bytes=limits.payload_bytes,
                reply_topic=topics.predict_reply,
                refusal=self._contract.refusal,
            ),
            topics,
            publish=publish,
            tell=tell,
            may_tell_refusal=lambda _device: refusals.admits(0),
        )
        self._waits_ms: deque[float] = deque(maxlen=_NEWEST_REPLIES)

    @property
    def totals(self) -> PredictionTotals:
        """What became of the requests so far."""
        waits = list(self._waits_ms)
        counted = self._desk.totals
        return PredictionTotals(
            counted.answered,
            counted.refused,
            counted.unusable,
            wait_ms=median(waits) if waits else math.nan,
        )

    def receive(self, incoming: Incoming) -> None:
        """Take a request from the broker; never blocks."""
        request = self._desk.admit(incoming)
        if request is None:
            return
        if not self._desk.lines.put(request):
            self._desk.refuse(request, "too many requests")
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
            request = self._desk.lines.take() if samples < _SAMPLES_AT_A_TURN else None
            if request is None:
                break
            self._arrived.set()  # more may wait
            try:
                asked = self._contract.read_request(request.payload)
            except ProtocolError as error:
                self._desk.refuse(request, str(error))
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
            self._desk.refuse(request, "the final exit's answer is not finite")
            return
        try:
            probabilities = among_slots(probabilities, asked.capacity)
        except ProtocolError as error:
            self._desk.refuse(request, str(error))
            return
        self._waits_ms.append(1000 * (time.monotonic() - request.arrived))
        self._desk.answer(request, self._contract.reply(FinalExitReply(cloud_step, probabilities)))
