"""What one message costs the cloud: taken in and committed to the log, and read from it again."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
from hiertk_cloud.ingest.judge import Judge
from hiertk_cloud.log import DurableLog, LogReader
from hiertk_cloud.training.batches import BatchSource
from hiertk_edge.learner import StepResult
from hiertk_edge.profiling.stopwatch import Stopwatch
from hiertk_edge.training.encoding import BatchEncoder
from hiertk_protocol.codec import dequantize
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.messages import MAX_MESSAGE_BYTES
from typing_extensions import Self

from hiertk.profiling.cloud_partitions import CloudPartition

_DEVICE = "profile"
_ANY_SIZE = 1 << 30


class IntakeMeter:
    """Sends the first message of a batch to a log in `folder`, without a broker between."""

    def __init__(self, partition: CloudPartition, batch_size: int, folder: Path) -> None:
        manifest = partition.manifest
        self._message = _first_message(partition, batch_size)
        self._judge = Judge(manifest)
        self._manifest = manifest
        self._path = folder / "log.sqlite"
        self._taken = 0

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self._log = DurableLog(self._path, self._manifest.bundle_id)
            opened.callback(self._log.close)
            reader = LogReader(self._path)
            opened.callback(reader.close)
            self._source = BatchSource(reader, self._manifest, cache_bytes=0)
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._opened.close()

    @property
    def samples(self) -> int:
        """Samples of the message."""
        return len(self._message.labels)

    def measure(self, watch: Stopwatch) -> None:
        """Check one message and commit it, as ingest does; then read it, as the trainer does."""
        message = FeatureBatch()
        message.CopyFrom(self._message)
        message.epoch, message.floor, message.seq = 1, 1, self._taken + 1
        payload = message.SerializeToString()
        with watch.time("receive"):
            self._log.append([self._judge.judge(_DEVICE, payload)])
        with watch.time("read"):
            self._log.give_turns()
            self._source.at_turn(self._taken + 1)
        self._taken += 1


def _first_message(partition: CloudPartition, batch_size: int) -> FeatureBatch:
    try:
        return _messages(partition, batch_size, MAX_MESSAGE_BYTES)[0]
    except ConfigError:  # one sample is too large to be sent; what it would take is still told
        return _messages(partition, 1, _ANY_SIZE)[0]


def _messages(partition: CloudPartition, samples: int, max_bytes: int) -> list[FeatureBatch]:
    labels = partition.labels[:samples]
    features = dequantize(partition.features.rows(0, samples))
    logits = np.zeros((samples, partition.manifest.classes.capacity), np.float32)
    return BatchEncoder(partition.manifest, _DEVICE).encode(
        StepResult(0.0, features, logits),
        labels,
        edge_step=0,
        purpose=FeatureBatch.TRAIN,
        max_bytes=max_bytes,
    )
