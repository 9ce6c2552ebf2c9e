"""What a data set consists of: image files and their classes, listed before any is read."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hiertk_protocol.errors import ConfigError

MAX_FILES = 250_000  # some 25 MB of names


@dataclass(frozen=True)
class Listing:
    """Files by name, relative to a folder, and the class slot of each (N,) uint16."""

    folder: Path
    names: tuple[str, ...]
    slots: npt.NDArray[np.uint16]

    @property
    def digest(self) -> str:
        """The sha256 of all names and slots: another one is another data set."""
        digest = hashlib.sha256(self.slots.astype("<u2").tobytes())
        for name in self.names:
            digest.update(name.encode(errors="surrogateescape") + b"\0")
        return digest.hexdigest()


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
