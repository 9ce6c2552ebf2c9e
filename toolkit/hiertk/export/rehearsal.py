"""Labelled images that a bundle takes along: what a device rehearses that has seen none yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from hiertk_edge.images import Pixels, resize
from hiertk_protocol.bundle import REHEARSAL
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import InputInfo
from safetensors.numpy import save_file

from hiertk.data import load
from hiertk.option_checks import check_range

MAX_BYTES = 64 << 20
_MOST_OF_A_CLASS = 1000


@dataclass(frozen=True)
class RehearsalSettings:
    """What is taken along. data: a data set's name, or folder:PATH. per_class: images at most."""

    data: str
    per_class: int = 20

    def check(self, class_count: int, raw_bytes: int) -> None:
        """Refuse more than a bundle may take along. Raises ConfigError."""
        check_range("--rehearsal-images", self.per_class, 1, _MOST_OF_A_CLASS, "a class")
        needed = class_count * self.per_class * raw_bytes
        if needed > MAX_BYTES:
            raise ConfigError(
                f"--rehearsal-images {self.per_class}: of {class_count} classes these are up to "
                f"{needed / 1e6:.0f} MB, more than {MAX_BYTES / 1e6:.0f}: take fewer"
            )


@dataclass(frozen=True)
class RehearsalImages:
    """Chosen images. slots: one a row of `pixels`, (N, size, size, 3) uint8."""

    pixels: Pixels
    slots: tuple[int, ...]

    @property
    def class_count(self) -> int:
        """The classes that have any."""
        return len(set(self.slots))

    def write(self, folder: Path) -> None:
        """Write them into a bundle's folder."""
        path = folder / REHEARSAL
        path.parent.mkdir()
        save_file({"images": self.pixels, "slots": np.array(self.slots, np.int64)}, path)

    def lacking(self, names: Sequence[str], per_class: int) -> list[str]:
        """Return the classes of which there are fewer than `per_class`."""
        return [name for slot, name in enumerate(names) if self.slots.count(slot) < per_class]


def choose_images(
    settings: RehearsalSettings, names: Sequence[str], info: InputInfo, seed: int
) -> RehearsalImages:
    """Draw the same number of training images of each class, as far as there are any.

    Images of classes that the bundle does not have are passed over. Raises ConfigError.
    """
    images = load(settings.data, "train")
    slots = {label: names.index(n) for label, n in enumerate(images.classes) if n in names}
    if not slots:
        raise ConfigError(
            f"--rehearsal {settings.data}: its classes are {', '.join(images.classes[:5])}..., of "
            "which the bundle has none: name the same with --classes"
        )
    chosen: dict[int, list[Pixels]] = {slot: [] for slot in sorted(slots.values())}
    for index in Random(seed).sample(range(len(images)), len(images)):
        if all(len(of_class) == settings.per_class for of_class in chosen.values()):
            break
        image, label = images.items[index]
        of_class = chosen[slots[label]] if label in slots else None
        if of_class is not None and len(of_class) < settings.per_class:
            of_class.append(resize(image, info))
    return _put_together(settings, chosen)


def _put_together(settings: RehearsalSettings, chosen: dict[int, list[Pixels]]) -> RehearsalImages:
    rows = [(slot, pixels) for slot, of_class in chosen.items() for pixels in of_class]
    if not rows:
        raise ConfigError(f"--rehearsal {settings.data}: there are no training images in it")
    return RehearsalImages(
        np.stack([pixels for _, pixels in rows]), tuple(slot for slot, _ in rows)
    )
