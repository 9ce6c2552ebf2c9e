"""Replay: earlier samples join each step, so that what is new does not displace what is known.

What is drawn depends on the log, the seed and the checkpoint only, and comes from the
`replay_window` newest training batches: the edge partitions go on learning, and features of old
ones mislead; the log keeps so many, too. The bound is in training batches, which is what both the
log and the trainer count; how many edge steps or hours that are is the devices' pace.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

import numpy as np
from hiertk_protocol.codec import Quantized
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.messages import Batch, SlotArray

from hiertk_cloud.log import DamagedEntryError
from hiertk_cloud.training.batches import BatchSource, draw_replay
from hiertk_cloud.training.reservoir import Reservoir
from hiertk_cloud.training.samples import KnownSamples, Labelled, Reading, Samples, known_samples
from hiertk_cloud.training.trainer_settings import TrainerSettings

_MOST_CELLS = 4096
_FEATURE_BYTES = 256 << 20  # of all cells together, as they are kept in memory


class Replay(Protocol):
    """Where earlier samples come from."""

    def draw(self, train_number: int, samples: int) -> list[Labelled]:
        """Return what joins a step on a batch of so many samples. Raises StorageError."""

    def add(self, train_number: int, batch: Batch, known: KnownSamples) -> None:
        """Take in a batch that was trained on."""

    def translate(self, into: Callable[[SlotArray], SlotArray]) -> None:
        """Follow the class map: slots are `into(slots)` now."""


class BatchReplay:
    """Draws whole batches, whatever their classes are."""

    def __init__(self, source: BatchSource, read: Reading, settings: TrainerSettings) -> None:
        self._source = source
        self._read = read
        self._settings = settings
        self._cache: OrderedDict[int, Batch] = OrderedDict()
        self._room = source.cache_bytes

    def draw(self, train_number: int, samples: int) -> list[Labelled]:  # noqa: ARG002
        """Return earlier batches, those that have no sample of a known class left out."""
        settings = self._settings
        numbers = draw_replay(train_number, settings.replay, settings.seed, settings.replay_window)
        return known_batches(numbers, self._batch, self._read)

    def add(self, train_number: int, batch: Batch, known: KnownSamples) -> None:  # noqa: ARG002
        """Keep a batch as it came: its labels may mean something else when it is drawn."""
        if self._settings.replay:
            self._remember(train_number, batch)

    def translate(self, into: Callable[[SlotArray], SlotArray]) -> None:
        """Do nothing: labels are read when they are drawn."""

    def _batch(self, number: int) -> Batch:
        if number in self._cache:
            self._cache.move_to_end(number)
            return self._cache[number]
        batch = self._source.training_batch(number)
        self._remember(number, batch)
        return batch

    def _remember(self, number: int, batch: Batch) -> None:
        self._cache[number] = batch
        self._room -= batch.features.values.nbytes
        while self._room < 0:
            _, oldest = self._cache.popitem(last=False)
            self._room += oldest.features.values.nbytes


def known_batches(
    numbers: Iterable[int], batch: Callable[[int], Batch], read: Reading
) -> list[Labelled]:
    """Return the known samples of earlier batches; what is damaged was counted at its own turn.

    Raises StorageError.
    """
    found: list[Labelled] = []
    for number in numbers:
        with suppress(DamagedEntryError, ProtocolError):
            known = known_samples(batch(number), read)
            if len(known.rows):
                found.append(known)
    return found


class BalancedReplay:
    """Draws samples, as many of each class.

    Their features are copied when they come in, so that a step decodes nothing. After a restart
    those that are drawn are read from the log, each batch once.
    """

    def __init__(
        self, source: BatchSource, reservoir: Reservoir, settings: TrainerSettings, batch_size: int
    ) -> None:
        """Begin. batch_size: samples of a usual batch."""
        self._source = source
        self._batch_size = batch_size
        self._reservoir = reservoir
        self._settings = settings
        self._features: dict[int, Quantized] = {}
        self._room = source.cache_bytes

    def draw(self, train_number: int, samples: int) -> list[Labelled]:
        """Return as many samples as `replay` such batches have, each in a piece of its own.

        A small batch is joined by as many as a usual one: a device that is taught a new class sends
        few images at a time, and with as few others beside them the class would fill half the step.
        """
        settings = self._settings
        self._drop(self._reservoir.forget_before(train_number - settings.replay_window))
        generator = np.random.default_rng([settings.seed, train_number])
        cells = self._reservoir.draw(settings.replay * max(samples, self._batch_size), generator)
        found = [(self._features_of(cell), int(self._reservoir.slot[cell])) for cell in cells]
        return [
            Samples(features, np.array([slot], np.int64))
            for features, slot in found
            if features is not None
        ]

    def add(self, train_number: int, batch: Batch, known: KnownSamples) -> None:
        """Take in the samples of a batch, at the cost of some that are there."""
        generator = np.random.default_rng([self._settings.seed, train_number, 1])
        cells = self._reservoir.put(train_number, known.rows, known.labels, generator)
        self._drop(np.array(cells, np.int64))
        self._keep(train_number, batch)

    def translate(self, into: Callable[[SlotArray], SlotArray]) -> None:
        """Follow the class map; samples of classes that are gone are forgotten."""
        self._drop(self._reservoir.translate(into))

    def _features_of(self, cell: int) -> Quantized | None:
        """Return a cell's features, (1, C, H, W); None if the log lost them."""
        found = self._features.get(cell)
        if found is not None:
            return found
        number, row = int(self._reservoir.number[cell]), int(self._reservoir.row[cell])
        try:
            batch = self._source.training_batch(number)
        except DamagedEntryError:  # counted at its own turn
            batch = None
        if batch is None or row >= len(batch.labels):
            self._drop(self._reservoir.forget_batch(number))
            return None
        self._keep(number, batch)
        return batch.features.take([row])

    def _keep(self, number: int, batch: Batch) -> None:
        """Copy the features of a batch's samples, as far as there is room."""
        for cell in self._reservoir.cells_of_batch(number).tolist():
            row = int(self._reservoir.row[cell])
            if cell in self._features or row >= len(batch.labels):
                continue
            features = batch.features.take([row])
            if features.values.nbytes > self._room:
                return
            self._features[cell] = features
            self._room -= features.values.nbytes

    def _drop(self, cells: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        for cell in cells.tolist():
            gone = self._features.pop(cell, None)
            if gone is not None:
                self._room += gone.values.nbytes


def reservoir_for(manifest: Manifest) -> Reservoir:
    """Return the table of a bundle: so many cells as features fit into memory, or one a class."""
    cells = min(_MOST_CELLS, _FEATURE_BYTES // manifest.features.values)
    return Reservoir(max(cells, manifest.classes.capacity))
