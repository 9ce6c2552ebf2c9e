"""What `hiertk profile` measures, and the images it takes for it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hiertk.data import ImageSet
from hiertk.export import ExportSettings

Tell = Callable[[str], None]


@dataclass(frozen=True)
class RoleSettings:
    """One role of this machine.

    export: network, batch size and classes; its split is not looked at. images: named `data`.
    splits: separation points, None for all. folder: to work in. seconds: for each point, about.
    """

    export: ExportSettings
    data: str
    images: ImageSet
    splits: tuple[int, ...] | None
    folder: Path
    threads: int
    seconds: float


def spread(images: ImageSet, count: int) -> npt.NDArray[np.int64]:
    """Return indices of at most `count` images all over a set, which may be sorted by class."""
    chosen = np.linspace(0, len(images) - 1, min(count, len(images)))
    return chosen.astype(np.int64)
