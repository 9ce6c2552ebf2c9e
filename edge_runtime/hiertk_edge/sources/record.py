"""What sources give: batches of a data set, or single labelled images of a stream."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hiertk_edge.images import Float32Array, Pixels

SlotArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ImageBatch:
    """Images (N, 3, size, size) float32 and labels (N,) int64 class slots.

    consumed: how many batches of the source are used up with this one.
    """

    consumed: int
    images: Float32Array
    labels: SlotArray


@dataclass(frozen=True)
class Labelled:
    """One labelled image of a stream, resized to the bundle's input.

    pixels: (size, size, 3) uint8, RGB. slot: its class. origin: where it came from, for messages.
    """

    pixels: Pixels
    slot: int
    origin: str


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
