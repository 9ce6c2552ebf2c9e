"""From one step's result to messages: quantized once, split along N until each part fits."""

import math
from collections.abc import Sequence
from itertools import pairwise

from google.protobuf.message import DecodeError
from hiertk_protocol.codec import Quantized, decode, encode, quantize
from hiertk_protocol.errors import ConfigError, ProtocolError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.messages import MAX_MESSAGE_BYTES

from hiertk_edge.classes import ExportedClasses, KnowsClasses
from hiertk_edge.learner import SlotArray, StepResult

ENVELOPE_BYTES = 40  # epoch, seq and floor, which the spool and the uplink fill in


class BatchEncoder:
    """Makes the feature messages of one device."""

    def __init__(
        self, manifest: Manifest, device: str, classes: KnowsClasses | None = None
    ) -> None:
        """Prepare. classes: the device's; None: the bundle's, for ever."""
        self._classes = classes or ExportedClasses(manifest.classes)
        self._bundle_id = manifest.bundle_id
        self._bits = manifest.features.bits
        self._device = device

    def encode(
        self,
        result: StepResult,
        labels: SlotArray,
        *,
        edge_step: int,
        purpose: FeatureBatch.Purpose,
        bits: int | None = None,
        max_bytes: int = MAX_MESSAGE_BYTES,
    ) -> list[FeatureBatch]:
        """Return the fewest even parts that fit `max_bytes` each, in order.

        bits: 8 or 4, never above the bundle's own, which None takes. All parts share the batch's
        scales, so together they are exactly the batch quantized whole. Raises ProtocolError if
        training diverged, ConfigError if one sample is too large.
        """
        check_loss(result.loss)
        table = self._classes.table
        (of_labels, of_exit), new_classes = table.wire(labels.tolist(), result.predictions.tolist())
        quantized = quantize(result.features, min(self._bits, bits or self._bits))
        header = FeatureBatch(
            bundle_id=self._bundle_id,
            device=self._device,
            edge_step=edge_step,
            class_map_version=table.map.version,
            purpose=purpose,
            early_exit_loss=result.loss,
            new_classes=new_classes,
        )
        messages = _parts(header, quantized, of_labels, of_exit, max_bytes)
        if _largest(messages) > max_bytes:
            raise ConfigError(
                f"the features of one image take {_largest(messages)} bytes, a message holds "
                f"{max_bytes}: export with fewer bits or a deeper separation point"
            )
        return messages


def check_loss(loss: float) -> None:
    """Raise ProtocolError if the early exit's loss is not a number any more."""
    if not math.isfinite(loss):
        raise ProtocolError("the early exit's loss is not finite: training diverged")


def split(message: bytes, max_bytes: int) -> list[FeatureBatch]:
    """Split a stored message along N into the fewest even parts that fit; [] if none do.

    Together they are exactly the message; each still wants a number of its own. Raises
    ProtocolError if the message breaks the contract.
    """
    whole = FeatureBatch()
    try:
        whole.ParseFromString(message)
    except (DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"a message in the spool is damaged: {error}") from error
    features = decode(whole.features, tuple(whole.shape))
    labels, early_exit = list(whole.labels), list(whole.early_exit)
    if not len(labels) == len(early_exit) == len(features.values):
        raise ProtocolError("a message in the spool has not one label for each sample")
    header = FeatureBatch()
    header.CopyFrom(whole)
    for field in ("shape", "features", "labels", "early_exit"):
        header.ClearField(field)
    parts = _parts(header, features, labels, early_exit, max_bytes)
    return parts if _largest(parts) <= max_bytes else []


def _parts(
    header: FeatureBatch,
    rows: Quantized,
    labels: Sequence[int],
    early_exit: Sequence[int],
    max_bytes: int,
) -> list[FeatureBatch]:
    """Return the fewest even parts that fit; one for each sample if even those do not."""
    count = len(labels)
    parts = 1
    while True:
        messages = [
            _part(header, rows.rows(start, stop), labels[start:stop], early_exit[start:stop])
            for start, stop in _even_parts(count, parts)
        ]
        if parts == count or _largest(messages) <= max_bytes:
            return messages
        parts = min(count, max(parts + 1, sum(map(_size, messages)) // max(1, max_bytes)))


def _largest(messages: Sequence[FeatureBatch]) -> int:
    return max(map(_size, messages))


def _size(message: FeatureBatch) -> int:
    return int(message.ByteSize()) + ENVELOPE_BYTES


def _even_parts(count: int, parts: int) -> list[tuple[int, int]]:
    edges = [count * part // parts for part in range(parts + 1)]
    return list(pairwise(edges))


def _part(
    header: FeatureBatch, rows: Quantized, labels: Sequence[int], early_exit: Sequence[int]
) -> FeatureBatch:
    message = FeatureBatch()
    message.CopyFrom(header)
    message.shape.extend(rows.values.shape)
    message.features.CopyFrom(encode(rows))
    message.labels.extend(labels)
    message.early_exit.extend(early_exit)
    return message
