"""What sources give: batches of a data set, or single labelled images of a stream."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hiertk_edge.images import Float32Array, Pixels

SlotArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ImageBatch:
    """Images (N, 3, size, size) float32 and labels (N,) int64.

    labels: numbers of the data set's names, the bundle's own in the order of their slots first;
    after `DataSet.in_slots` the class slots of now. consumed: how many batches of the source are
    used up with this one.
    """

    consumed: int
    images: Float32Array
    labels: SlotArray


@dataclass(frozen=True)
class Labelled:
    """One labelled image of a stream, resized to the bundle's input.

    pixels: (size, size, 3) uint8, RGB. label: its class by name, for slots may change while it
    waits. origin: where it came from, for messages.
    """

    pixels: Pixels
    label: str
    origin: str


class Labels(Protocol):
    """Which names are classes; any thread may call it."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the classes that there are."""

    def slot_of(self, name: str) -> int | None:
        """Return the slot of the class with this name now; None if it is none."""

    def take(self, name: str) -> int | None:
        """Return the slot of a name that came with an image; None if it may be no class."""


class FixedLabels:
    """Names that have the slots of their order, and no others."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._slots = {name: slot for slot, name in enumerate(names)}

    def slot_of(self, name: str) -> int | None:
        """Return the slot of a name."""
        return self._slots.get(name)

    def take(self, name: str) -> int | None:
        """Return the slot of a name."""
        return self._slots.get(name)


class DataSet(Protocol):
    """Labelled images that are all there, gone through in passes."""

    def __len__(self) -> int:
        """Return the number of images."""

    @property
    def bad_images(self) -> int:
        """Number of unreadable images met so far."""

    @property
    def digest(self) -> str:
        """What tells this data set from another: 64 hex digits."""

    def batch_count(self, batch_size: int) -> int:
        """Return the number of training batches of one pass."""

    def training_batches(
        self, batch_size: int, *, seed: int, consumed: int, passes: int
    ) -> Iterator[ImageBatch]:
        """Yield the batches of all passes, each shuffled its own way, after `consumed` ones."""

    def batches_in_order(self, batch_size: int) -> Iterator[ImageBatch]:
        """Yield every image once, in order."""

    def in_slots(self, batch: ImageBatch) -> ImageBatch:
        """Return a batch with the class slots of now, without the images of no class."""

    def slots(self) -> frozenset[int]:
        """Return the class slots of now that have images."""

    def drawn(self, count: int, generator: Random) -> ImageBatch:
        """Return random images in the slots of now, as evenly from all classes as can be."""


class Intake(Protocol):
    """What takes the labelled images of streams; any thread may call it."""

    def offer(self, sample: Labelled) -> bool:
        """Store an image durably; False if there is no room now: offer it again later.

        Raises StorageError if the disk refuses.
        """


@dataclass(frozen=True)
class StreamCounts:
    """What became of a stream's images since it started.

    taken: given to the intake. bad: unreadable, truncated or too large. mislabelled: of no class.
    dropped: lost because the intake had no room.
    """

    taken: int = 0
    bad: int = 0
    mislabelled: int = 0
    dropped: int = 0


class Stream(Protocol):
    """Labelled images that come when they come, from a thread of its own."""

    @property
    def counts(self) -> StreamCounts:
        """What became of the images so far."""

    def start(self, intake: Intake) -> None:
        """Begin to look and to push; returns at once."""

    def stop(self) -> None:
        """End the thread."""
