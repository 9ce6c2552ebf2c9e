"""What features cost on their way into the spool, and how large they are on the wire."""

from statistics import median_low
from typing import Literal

from hiertk_protocol.codec import encode, quantize
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.profile import Wire

from hiertk_edge.learner import StepResult
from hiertk_edge.profiling.stopwatch import Stopwatch
from hiertk_edge.sources import ImageBatch
from hiertk_edge.spool import Cursor, Spool
from hiertk_edge.training.encoding import BatchEncoder

DEVICE = "profile"
Bits = Literal[8, 4]


class WireMeter:
    """Hands features over as the agent does, at one number of bits, and takes time and size."""

    def __init__(self, manifest: Manifest, bits: Bits, spool: Spool) -> None:
        features = manifest.features.model_copy(update={"bits": bits})
        self._bits: Bits = bits
        self._encoder = BatchEncoder(manifest.model_copy(update={"features": features}), DEVICE)
        self._spool = spool
        self._watch = Stopwatch()
        self._messages: list[int] = []
        self._bytes: list[int] = []
        self.refusal: str | None = None

    def hand_over(self, result: StepResult, batch: ImageBatch, *, edge_step: int) -> None:
        """Encode one batch and put it into the spool; then its main parts once more, alone.

        If the features of one image are too large for a message, note so and do nothing more.
        """
        if self.refusal is not None:
            return
        try:
            self._hand_over(result, batch, edge_step)
        except ConfigError as error:
            self.refusal = str(error)

    def wire(self, samples: int) -> Wire | None:
        """Return the medians over batches of `samples` each; None if they cannot be sent."""
        if self.refusal is not None:
            return None
        return Wire(
            bits=self._bits,
            samples=samples,
            messages=median_low(self._messages),
            bytes=median_low(self._bytes),
            quantize_ms=self._watch.median_ms("quantize"),
            compress_ms=self._watch.median_ms("compress"),
            handover_ms=self._watch.median_ms("handover"),
        )

    def _hand_over(self, result: StepResult, batch: ImageBatch, edge_step: int) -> None:
        with self._watch.time("handover"):
            messages = self._encoder.encode(
                result, batch.labels, edge_step=edge_step, purpose=FeatureBatch.TRAIN
            )
            numbers = self._spool.put(messages, Cursor(consumed=batch.consumed))
        with self._watch.time("quantize"):
            quantized = quantize(result.features, self._bits)
        with self._watch.time("compress"):
            encode(quantized)
        floor = FeatureBatch(floor=numbers[0]).ByteSize()  # the uplink adds it to each
        self._messages.append(len(messages))
        self._bytes.append(sum(message.ByteSize() + floor for message in messages))
        self._spool.settle(numbers[-1], (), {})
