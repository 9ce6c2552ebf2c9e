"""The images of a study, as a device stores them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from hiertk_edge.images import Pixels, resize
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import InputInfo

from hiertk.data import ImageSet

SlotArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Images:
    """Images by their numbers. pixels: (N, size, size, 3) uint8; slots: (N,) int64."""

    pixels: Pixels
    slots: SlotArray

    def __len__(self) -> int:
        return len(self.slots)

    def take(self, numbers: Sequence[int]) -> "Images":
        """Return the images of these numbers, in this order."""
        chosen = np.array(numbers, np.int64)
        return Images(self.pixels[chosen], self.slots[chosen])

    def parts(self, size: int) -> Iterator["Images"]:
        """Yield all images, up to so many at once."""
        for start in range(0, len(self), size):
            yield self.take(range(start, min(start + size, len(self))))

    def of(self, slots: Sequence[int], per_class: int | None = None) -> "Images":
        """Return the images of some classes, at most so many of each: the first ones."""
        chosen = [np.flatnonzero(self.slots == slot)[:per_class] for slot in slots]
        return self.take(np.sort(np.concatenate(chosen)).tolist())


def read_images(images: ImageSet, size: int, per_class: int | None) -> Images:
    """Read a data set as a device stores it. per_class: the first so many of each class."""
    info = InputInfo(size=size, mean=(0, 0, 0), std=(1, 1, 1))
    taken: dict[int, int] = {}
    pixels, slots = [], []
    for number in range(len(images)):
        image, slot = images.items[number]
        if per_class is not None and taken.get(slot, 0) >= per_class:
            continue
        taken[slot] = taken.get(slot, 0) + 1
        pixels.append(resize(image, info))
        slots.append(slot)
    return Images(np.stack(pixels), np.array(slots, np.int64))


def some_of(images: Images, count: int | None) -> Images:
    """Return so many images, drawn at random, the same ones each time; None for all.

    Raises ConfigError if there are fewer.
    """
    if count is None or count == len(images):
        return images
    return images.take(drawn(len(images), count))


def drawn(size: int, count: int) -> list[int]:
    """Return so many numbers of `size` ones, drawn at random, the same ones each time.

    Raises ConfigError if there are fewer.
    """
    if count > size:
        raise ConfigError(f"the study wants {count} images, the data set has {size}")
    chosen = np.random.default_rng(0).permutation(size)[:count]
    return [int(one) for one in np.sort(chosen)]
