"""What a data set consists of: image files and their classes, listed before any is read."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hiertk_protocol.errors import ConfigError

from hiertk_edge.sources.record import Labels

MAX_FILES = 250_000  # some 25 MB of names


@dataclass(frozen=True)
class Listing:
    """Files by name, relative to a folder, and the label of each (N,) uint16.

    A label is the place of a name in `classes`, which begin with the bundle's own in the order of
    their slots: so it stays, whatever slots the classes have later.
    """

    folder: Path
    names: tuple[str, ...]
    labels: npt.NDArray[np.uint16]
    classes: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The sha256 of all names and labels: another one is another data set."""
        digest = hashlib.sha256(self.labels.astype("<u2").tobytes())
        for name in self.names:
            digest.update(name.encode(errors="surrogateescape") + b"\0")
        return digest.hexdigest()


class LabelNumbers:
    """The numbers of the names in one listing, given out as names come."""

    def __init__(self, class_names: Sequence[str], labels: Labels) -> None:
        """Begin with the bundle's own names."""
        self._labels = labels
        self._numbers = {name: number for number, name in enumerate(class_names)}

    @property
    def classes(self) -> tuple[str, ...]:
        """The names so far, by their numbers."""
        return tuple(self._numbers)

    def number_of(self, name: str) -> int | None:
        """Return a name's number; None if it may be no class."""
        if self._labels.take(name) is None:
            return None
        return self._numbers.setdefault(name, len(self._numbers))


def refuse_too_many(what: Path, count: int) -> None:
    """Raise ConfigError if a data set has more files than a device lists."""
    if count > MAX_FILES:
        raise ConfigError(
            f"{what}: more than {MAX_FILES:,} images: give this device a part of them"
        )


def some(names: Sequence[str], limit: int = 12) -> str:
    """Return the first names, and how many there are beside them."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
