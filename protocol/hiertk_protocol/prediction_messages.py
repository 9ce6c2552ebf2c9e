"""Asking the final exit: a request's features, and the probabilities or the refusal in its reply.

A request stores nothing and changes nothing, so unlike a feature batch it has no key; what a reply
belongs to, MQTT's correlation data says.
"""

from dataclasses import dataclass

import numpy as np

from hiertk_protocol.codec import Float32Array, Quantized, decode, encode
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import PredictReply, PredictRequest
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.messages import parse_into
from hiertk_protocol.texts import one_line

MAX_PREDICT_SAMPLES = 16
_MAX_ERROR_LETTERS = 200
_REPLY_ENVELOPE_BYTES = 2048
_LARGEST_STEP = 1 << 62
_SUM_TOLERANCE = 1e-3  # of 4096 float32 probabilities


class CloudRefusedError(ProtocolError):
    """The cloud answered a request with a reason instead of probabilities."""


@dataclass(frozen=True)
class FinalExitReply:
    """What the cloud answers. probabilities: (N, class slots) float32, 0 where a slot is closed."""

    cloud_step: int
    probabilities: Float32Array


@dataclass(frozen=True)
class FinalExitRequest:
    """What a device asks about. capacity: class slots of the bundle that the device has."""

    features: Quantized
    capacity: int


class PredictionContract:
    """What a deployment's requests and replies must be like; both sides check with it."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._bundle_id = manifest.bundle_id
        self._shape = manifest.features.shape
        self._capacity = manifest.classes.capacity

    def request(self, features: Quantized) -> bytes:
        """Return the request for features (N, C, H, W), N up to 16."""
        message = PredictRequest(
            bundle_id=self._bundle_id, shape=features.values.shape, features=encode(features)
        )
        payload: bytes = message.SerializeToString()
        return payload

    def read_request(self, payload: bytes) -> FinalExitRequest:
        """Return what a request asks about, and how many class slots the answer is to have.

        Raises ProtocolError with the reason that the reply gives.
        """
        message = PredictRequest()
        parse_into(message, payload, "prediction request")
        capacity = self._manifest.check_lineage(message.bundle_id)
        shape = tuple(message.shape[:5])
        if shape[1:] != self._shape or not 0 < shape[0] <= MAX_PREDICT_SAMPLES:
            raise ProtocolError(
                f"shape {shape} is not (1 to {MAX_PREDICT_SAMPLES}, *{self._shape})"
            )
        return FinalExitRequest(decode(message.features, shape), capacity)

    def reply(self, answer: FinalExitReply) -> bytes:
        """Return the reply that gives probabilities."""
        message = PredictReply(
            cloud_step=answer.cloud_step, probabilities=answer.probabilities.reshape(-1)
        )
        payload: bytes = message.SerializeToString()
        return payload

    def refusal(self, reason: str) -> bytes:
        """Return the reply that says in a line why there are none."""
        message = PredictReply(error=reason[:_MAX_ERROR_LETTERS])
        payload: bytes = message.SerializeToString()
        return payload

    def read_reply(self, payload: bytes, samples: int) -> FinalExitReply:
        """Return what the reply to a request of so many samples says.

        Raises CloudRefusedError with the cloud's reason if it gave none, ProtocolError if the reply
        breaks the contract.
        """
        values = samples * self._capacity
        message = PredictReply()
        parse_into(message, payload, "prediction reply", 4 * values + _REPLY_ENVELOPE_BYTES)
        if message.error:
            raise CloudRefusedError(one_line(message.error, _MAX_ERROR_LETTERS))
        if message.cloud_step > _LARGEST_STEP:
            raise ProtocolError(f"prediction reply: cloud step {message.cloud_step}")
        if len(message.probabilities) != values:
            raise ProtocolError(
                f"prediction reply: {len(message.probabilities)} probabilities for {samples} "
                f"samples of {self._capacity} slots"
            )
        probabilities = np.array(message.probabilities, np.float32).reshape(samples, -1)
        self._check(probabilities)
        return FinalExitReply(message.cloud_step, probabilities)

    def _check(self, probabilities: Float32Array) -> None:
        # A NaN compares as false.
        if not (probabilities.min() >= 0 and probabilities.max() <= 1):
            raise ProtocolError("prediction reply: a probability is not between 0 and 1")
        if np.abs(probabilities.sum(axis=1) - 1).max() > _SUM_TOLERANCE:
            raise ProtocolError("prediction reply: the probabilities do not sum to 1")


def among_slots(probabilities: Float32Array, capacity: int) -> Float32Array:
    """Return probabilities (N, class slots) as if the slots from `capacity` on were closed.

    A device with a bundle that the cloud's was grown from has only the first ones. Raises
    ProtocolError where nothing is left.
    """
    if capacity >= probabilities.shape[1]:
        return probabilities
    kept = probabilities[:, :capacity]
    total = kept.sum(axis=1, keepdims=True, dtype=np.float64)
    if not total.min() > 0:
        raise ProtocolError(f"its class has a slot beyond the {capacity} of the device's bundle")
    found: Float32Array = (kept / total).astype(np.float32)
    return found
