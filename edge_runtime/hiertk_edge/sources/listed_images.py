"""A data set of listed files: gone through in passes, decoded batch by batch."""

import logging
from collections.abc import Iterator
from functools import cached_property
from random import Random

import numpy as np
import numpy.typing as npt
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import InputInfo

from hiertk_edge.images import Float32Array, Pixels, normalize, read_image, resize
from hiertk_edge.sources.listing import Listing
from hiertk_edge.sources.pixel_cache import PixelCache
from hiertk_edge.sources.record import FixedLabels, ImageBatch, Labels, SlotArray
from hiertk_edge.sources.skipped import Skipped

_log = logging.getLogger(__name__)


class ListedImages:
    """The data set of a listing. Unreadable images are counted, reported and skipped.

    labels: which slots the names have; None: those of the listing's order. cache: where decoded
    images are kept for the next pass; None: nowhere.
    """

    def __init__(
        self,
        listing: Listing,
        info: InputInfo,
        cache: PixelCache | None = None,
        labels: Labels | None = None,
    ) -> None:
        self._listing = listing
        self._labels = labels or FixedLabels(listing.classes)
        self.cache = cache
        self._folder = str(listing.folder)  # joining paths of pathlib takes a tenth of reading
        self._info = info
        self._bad: set[int] = set()
        self._skipped = Skipped("unreadable images", _log)
        self.digest = listing.digest

    def __len__(self) -> int:
        return len(self._listing.names)

    @property
    def bad_images(self) -> int:
        """Number of unreadable images met so far."""
        return len(self._bad)

    def batch_count(self, batch_size: int) -> int:
        """Return the number of training batches of one pass; a last one of 1 image is dropped."""
        full, rest = divmod(len(self), batch_size)
        return full + (rest >= 2)

    def training_batches(
        self, batch_size: int, *, seed: int, consumed: int, passes: int
    ) -> Iterator[ImageBatch]:
        """Yield the batches of all passes, each shuffled its own way, after `consumed` ones.

        A batch with fewer than 2 readable images is skipped: batch normalization needs two.
        """
        per_pass = self.batch_count(batch_size)
        order = np.arange(0)
        for index in range(consumed, per_pass * passes):
            number, position = divmod(index, per_pass)
            if position == 0 or not len(order):
                order = _shuffled(len(self), seed, number)
            chosen = order[position * batch_size : (position + 1) * batch_size]
            images, labels = self._read(chosen)
            if len(labels) >= 2:
                yield ImageBatch(index + 1, images, labels)

    def batches_in_order(self, batch_size: int) -> Iterator[ImageBatch]:
        """Yield every image once, in the order of the listing."""
        for number, start in enumerate(range(0, len(self), batch_size)):
            images, labels = self._read(np.arange(start, min(start + batch_size, len(self))))
            if len(labels):
                yield ImageBatch(number + 1, images, labels)

    def in_slots(self, batch: ImageBatch) -> ImageBatch:
        """Return a batch with the class slots of now, without the images of no class.

        A class that the class map has no more leaves its images out.
        """
        slots = [self._slot_of(label) for label in batch.labels.tolist()]
        kept = [row for row, slot in enumerate(slots) if slot is not None]
        labels = np.array([slots[row] for row in kept], np.int64)
        images = batch.images if len(kept) == len(slots) else batch.images[kept]
        return ImageBatch(batch.consumed, images, labels)

    def slots(self) -> frozenset[int]:
        """Return the class slots of now that have images."""
        return frozenset(
            slot for label in self._by_label if (slot := self._slot_of(label)) is not None
        )

    def drawn(self, count: int, generator: Random) -> ImageBatch:
        """Return random images in the slots of now, as evenly from all classes as can be."""
        labels = [label for label in self._by_label if self._slot_of(label) is not None]
        chosen: list[int] = []
        while labels and len(chosen) < count:
            turn = generator.sample(labels, min(len(labels), count - len(chosen)))
            chosen += [int(generator.choice(self._by_label[label])) for label in turn]
        images, numbers = self._read(np.array(chosen, np.int64))
        return self.in_slots(ImageBatch(0, images, numbers))

    @cached_property
    def _by_label(self) -> dict[int, npt.NDArray[np.int64]]:
        labels = self._listing.labels
        return {label: np.flatnonzero(labels == label) for label in np.unique(labels).tolist()}

    def _slot_of(self, label: int) -> int | None:
        return self._labels.slot_of(self._listing.classes[label])

    def _read(self, chosen: npt.NDArray[np.int64]) -> tuple[Float32Array, SlotArray]:
        size = self._info.size
        pixels = np.empty((len(chosen), size, size, 3), np.uint8)
        readable: list[int] = []
        for index in chosen.tolist():
            try:
                pixels[len(readable)] = self._read_one(index)
            except ConfigError as error:
                self._note_bad(index, error)
                continue
            readable.append(index)
        images = normalize(pixels[: len(readable)], self._info)
        return images, self._listing.labels[readable].astype(np.int64)

    def _read_one(self, index: int) -> Pixels:
        path = f"{self._folder}/{self._listing.names[index]}"
        kept = None if self.cache is None else self.cache.get(index, path)
        if kept is not None:
            return kept
        pixels = resize(read_image(path), self._info)
        if self.cache is not None:
            self.cache.put(index, path, pixels)
        return pixels

    def _note_bad(self, index: int, error: ConfigError) -> None:
        if index not in self._bad:
            self._bad.add(index)
            self._skipped.note(error)


def _shuffled(count: int, seed: int, number: int) -> npt.NDArray[np.int64]:
    # Not numpy's: importing numpy.random takes 2.5 MB, which the agent has no other use for.
    order = list(range(count))
    Random(f"{seed} {number}").shuffle(order)
    return np.array(order, np.int64)
