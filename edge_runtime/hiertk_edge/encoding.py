"""From one step's result to messages: quantized once, split along N until each part fits."""

import math
from itertools import pairwise

from hiertk_protocol.codec import Quantized, encode, quantize
from hiertk_protocol.errors import ConfigError, ProtocolError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.messages import MAX_MESSAGE_BYTES

from hiertk_edge.learner import SlotArray, StepResult

ENVELOPE_BYTES = 40  # epoch, seq and floor, which the spool and the uplink fill in


class BatchEncoder:
    """Makes the feature messages of one device."""

    def __init__(self, manifest: Manifest, device: str) -> None:
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
        max_bytes: int = MAX_MESSAGE_BYTES,
    ) -> list[FeatureBatch]:
        """Return the fewest even parts that fit `max_bytes` each, in order.

        All parts share the batch's scales, so together they are exactly the batch quantized whole.
        Raises ProtocolError if training diverged, ConfigError if one sample is too large.
        """
        if not math.isfinite(result.loss):
            raise ProtocolError("the early exit's loss is not finite: training diverged")
        quantized = quantize(result.features, self._bits)
        header = FeatureBatch(
            bundle_id=self._bundle_id,
            device=self._device,
            edge_step=edge_step,
            purpose=purpose,
            early_exit_loss=result.loss,
        )
        slots = result.predictions
        count = len(labels)
        parts = 1
        while True:
            messages = [
                _part(header, quantized.rows(start, stop), labels[start:stop], slots[start:stop])
                for start, stop in _even_parts(count, parts)
            ]
            sizes = [message.ByteSize() + ENVELOPE_BYTES for message in messages]
            if max(sizes) <= max_bytes:
                return messages
            if parts == count:
                raise ConfigError(
                    f"the features of one image take {max(sizes)} bytes, a message holds "
                    f"{max_bytes}: export with fewer bits or a deeper separation point"
                )
            parts = min(count, max(parts + 1, sum(sizes) // max_bytes))


def _even_parts(count: int, parts: int) -> list[tuple[int, int]]:
    edges = [count * part // parts for part in range(parts + 1)]
    return list(pairwise(edges))


def _part(
    header: FeatureBatch, rows: Quantized, labels: SlotArray, early_exit: SlotArray
) -> FeatureBatch:
    message = FeatureBatch()
    message.CopyFrom(header)
    message.shape.extend(rows.values.shape)
    message.features.CopyFrom(encode(rows))
    message.labels.extend(labels.tolist())
    message.early_exit.extend(early_exit.tolist())
    return message
