"""Parsing what comes from the network: everything is checked against the bundle first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError, Message

from hiertk_protocol.class_names import clean_class_name
from hiertk_protocol.codec import Quantized, check_features, decode
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import Ack, DeviceStatus, FeatureBatch, ModelStatus
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.topics import is_device_name

MAX_MESSAGE_BYTES = 120 * 1024  # fits the strictest public brokers
MAX_SAMPLES = 4096
NEW_CLASS = 1 << 16  # labels from here on stand for names: NEW_CLASS + i for new_classes[i]
MAX_NEW_CLASSES = 16
_MAX_ACK_BYTES = 1 << 20
_MAX_STATUS_BYTES = 4096
_LARGEST_COUNT = 1 << 62  # SQLite's integers end at 2^63
_PURPOSES = frozenset(FeatureBatch.Purpose.values())

SlotArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BatchKey:
    """What makes a feature batch unique: sending it again changes nothing."""

    device: str
    epoch: int
    seq: int


@dataclass(frozen=True)
class Batch:
    """A feature batch that passed every check.

    features: quantized (N, C, H, W). labels, early_exit: (N,) int64 class slots of that version of
    the class map, or from NEW_CLASS on: new_classes[value - NEW_CLASS], which had no slot.
    early_exit_loss: mean cross entropy, nats.
    """

    key: BatchKey
    floor: int
    edge_step: int
    held_out: bool
    features: Quantized
    labels: SlotArray
    early_exit: SlotArray
    early_exit_loss: float
    class_map_version: int = 1
    new_classes: tuple[str, ...] = ()


class FeatureContract:
    """What a deployment accepts: the checks that every feature batch must pass."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._shape = manifest.features.shape
        self._capacity = manifest.classes.capacity

    def parse(self, payload: bytes) -> FeatureBatch:
        """Parse the bytes and check only that the batch has a key.

        Raises ProtocolError: there is nothing that an ack could name.
        """
        message = FeatureBatch()
        parse_into(message, payload, "feature batch")
        if not 0 < message.seq <= _LARGEST_COUNT or not is_device_name(message.device):
            raise ProtocolError("feature batch: no usable device and sequence number")
        return message

    def validate(self, message: FeatureBatch) -> None:
        """Check everything else, without unpacking the features.

        Raises ProtocolError with the reason that the ack gives.
        """
        check_features(message.features, self._checked_shape(message))

    def check(self, message: FeatureBatch) -> Batch:
        """Check everything else, and unpack. Raises ProtocolError as `validate` does."""
        shape = self._checked_shape(message)
        return Batch(
            key=BatchKey(message.device, message.epoch, message.seq),
            floor=message.floor,
            edge_step=message.edge_step,
            held_out=message.purpose == FeatureBatch.HELD_OUT,
            features=decode(message.features, shape),
            labels=np.asarray(message.labels, np.int64),
            early_exit=np.asarray(message.early_exit, np.int64),
            early_exit_loss=message.early_exit_loss,
            class_map_version=message.class_map_version or 1,  # 0: before there were others
            new_classes=tuple(message.new_classes),
        )

    def _checked_shape(self, message: FeatureBatch) -> tuple[int, ...]:
        """Check all but the features, and return their shape."""
        self._manifest.check_lineage(message.bundle_id)
        if message.floor > message.seq:
            raise ProtocolError(f"floor {message.floor} above its own seq {message.seq}")
        if message.edge_step > _LARGEST_COUNT:
            raise ProtocolError(f"edge step {message.edge_step} is beyond any training")
        shape = tuple(message.shape[:5])
        if shape[1:] != self._shape or not 0 < shape[0] <= MAX_SAMPLES:
            raise ProtocolError(f"shape {shape} is not (1 to {MAX_SAMPLES}, *{self._shape})")
        if not math.isfinite(message.early_exit_loss):
            raise ProtocolError("the early exit's loss is not finite")
        if message.purpose not in _PURPOSES:
            raise ProtocolError(f"purpose {message.purpose} is unknown")
        named = _checked_names(message.new_classes)
        self._check_slots(message.labels, shape[0], named, "labels")
        self._check_slots(message.early_exit, shape[0], named, "early-exit predictions")
        return shape

    def _check_slots(self, slots: Sequence[int], count: int, named: int, what: str) -> None:
        if len(slots) != count:
            raise ProtocolError(f"{len(slots)} {what} for {count} samples")
        highest = max(slots)
        if not (highest < self._capacity or named):
            raise ProtocolError(f"{what} name slot {highest} of {self._capacity}")
        if named and any(self._capacity <= slot < NEW_CLASS for slot in slots):
            raise ProtocolError(f"{what} name a slot that is not below {self._capacity}")
        if highest >= NEW_CLASS + named:
            raise ProtocolError(f"{what} name new class {highest - NEW_CLASS} of {named}")


def _checked_names(names: Sequence[str]) -> int:
    """Refuse what are no names of new classes; return how many there are."""
    if len(names) > MAX_NEW_CLASSES:
        raise ProtocolError(f"{len(names)} new classes in one message, at most {MAX_NEW_CLASSES}")
    for name in names:
        if clean_class_name(name) != name:
            raise ProtocolError(f"the class name {name[:40]!r} is not in its usual form")
    if len(set(names)) != len(names):
        raise ProtocolError("a new class is named twice")
    return len(names)


def parse_ack(payload: bytes) -> Ack:
    """Parse an ack. Raises ProtocolError."""
    message = Ack()
    parse_into(message, payload, "ack", _MAX_ACK_BYTES)
    return message


def parse_device_status(payload: bytes) -> DeviceStatus:
    """Parse a device's status. Raises ProtocolError."""
    message = DeviceStatus()
    parse_into(message, payload, "device status", _MAX_STATUS_BYTES)
    if message.state not in DeviceStatus.State.values():
        raise ProtocolError(f"device status: state {message.state} is unknown")
    return message


def parse_model_status(payload: bytes) -> ModelStatus:
    """Parse the cloud's status. Raises ProtocolError."""
    message = ModelStatus()
    parse_into(message, payload, "model status", _MAX_STATUS_BYTES)
    if message.state not in ModelStatus.State.values():
        raise ProtocolError(f"model status: state {message.state} is unknown")
    return message


def parse_into(message: Message, payload: bytes, what: str, limit: int = 16 << 20) -> None:
    """Parse bytes of up to `limit`, naming `what` they were to be. Raises ProtocolError."""
    if len(payload) > limit:
        raise ProtocolError(f"{what}: {len(payload)} bytes, more than {limit}")
    try:
        message.ParseFromString(payload)
    except (DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"{what}: not a message of this protocol: {error}") from error
