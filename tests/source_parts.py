"""What the tests of streams share: an intake with a bound, and waiting for what a thread does."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from edge_parts import CLASSES
from hiertk_edge.sources import Labelled
from hiertk_protocol.errors import StorageError
from hiertk_protocol.host.problems import Problems
from PIL import Image


class Basket:
    """An intake that holds what it was offered, up to so many; any thread may call it."""

    def __init__(self, room: int = 1_000_000) -> None:
        self._lock = threading.Lock()
        self.samples: list[Labelled] = []
        self.room = room
        self.refuses = False

    def offer(self, sample: Labelled) -> bool:
        with self._lock:
            if self.refuses:
                raise StorageError("memory.sqlite: disk full: free some space")
            if len(self.samples) >= self.room:
                return False
            self.samples.append(sample)
            return True

    @property
    def names(self) -> list[str]:
        with self._lock:
            return sorted(Path(sample.origin).name for sample in self.samples)

    @property
    def slots(self) -> list[int]:
        with self._lock:
            return [CLASSES.index(sample.label) for sample in self.samples]


class Told:
    """Problems, and every line that they told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.problems = Problems(lambda _, text: self.lines.append(text))

    def count(self, part: str) -> int:
        return sum(part in line for line in self.lines)


def wait_for(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def image_of(slot: int, *, size: int = 16) -> Image.Image:
    """Return an image of a class's colour."""
    pixels = np.full((size, size, 3), 30, np.uint8)
    pixels[..., slot] = 200
    return Image.fromarray(pixels)


def write_image(folder: Path, name: str, slot: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    image_of(slot).save(path)
    return path


def write_classes(folder: Path, per_class: int) -> Path:
    for slot, label in enumerate(CLASSES):
        for number in range(per_class):
            write_image(folder / label, f"{label}{number}.png", slot)
    return folder
