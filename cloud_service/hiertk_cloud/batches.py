"""Batches out of the log, and which of them to train on again."""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from hiertk_protocol.errors import ProtocolError, StorageError
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.messages import Batch, FeatureContract

from hiertk_cloud.log_reader import LogEntry, LogReader

DEFAULT_CACHE_BYTES = 256 << 20


@dataclass(frozen=True)
class NextBatch:
    """A batch at its place in the log. train_number is None for a held-out one."""

    position: int
    train_number: int | None
    batch: Batch


class BatchSource:
    """Reads the log's batches in order, and earlier ones again from a cache of bounded size."""

    def __init__(
        self, reader: LogReader, manifest: Manifest, cache_bytes: int = DEFAULT_CACHE_BYTES
    ) -> None:
        self._reader = reader
        self._contract = FeatureContract(manifest)
        self._cache: OrderedDict[int, Batch] = OrderedDict()
        self._room = cache_bytes

    def first_after(self, position: int) -> NextBatch | None:
        """Return the batch behind a position; None at the end of the log. Raises StorageError."""
        entry = self._reader.first_after(position)
        if entry is None:
            return None
        batch = self._decode(entry)
        if entry.train_number is not None:
            self._remember(entry.train_number, batch)
        return NextBatch(entry.position, entry.train_number, batch)

    def training_batch(self, train_number: int) -> Batch:
        """Return the n-th batch to train on, counted from 1. Raises StorageError."""
        if train_number in self._cache:
            self._cache.move_to_end(train_number)
            return self._cache[train_number]
        batch = self._decode(self._reader.training_batch(train_number))
        self._remember(train_number, batch)
        return batch

    def last_position(self) -> int:
        """Return the position of the newest batch, 0 for none. Raises StorageError."""
        return self._reader.last_position()

    def _decode(self, entry: LogEntry) -> Batch:
        try:
            return self._contract.check(self._contract.parse(entry.message))
        except ProtocolError as error:
            raise StorageError(
                f"the log is damaged at position {entry.position}: {error}"
            ) from error

    def _remember(self, train_number: int, batch: Batch) -> None:
        self._cache[train_number] = batch
        self._room -= batch.features.values.nbytes
        while self._room < 0:
            _, oldest = self._cache.popitem(last=False)
            self._room += oldest.features.values.nbytes


def draw_replay(train_number: int, count: int, seed: int) -> list[int]:
    """Draw `count` training batches below `train_number`, uniformly and with repetition.

    Depends on nothing but the arguments, so that a resumed run draws the same.
    """
    if train_number <= 1 or count == 0:
        return []
    generator = np.random.default_rng([seed, train_number])
    return [int(number) for number in generator.integers(1, train_number, count)]
