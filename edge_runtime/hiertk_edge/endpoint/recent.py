"""The newest predictions with their images, so that a wrong one can be corrected."""

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

from hiertk_edge.images import Pixels

_MOST = 64
_MOST_BYTES = 4 << 20  # 64 images of up to 147x147 pixels, 27 of 224x224
_ID_BYTES = 8


@dataclass(frozen=True)
class Predicted:
    """A prediction. said: the class it named. label: the one that the user gave it, if any."""

    pixels: Pixels
    said: str
    label: str | None = None


class RecentPredictions:
    """A ring in memory: the oldest is forgotten for the newest. Any thread may call it."""

    def __init__(self, image_bytes: int) -> None:
        """Begin without any. image_bytes: size of one image's pixels."""
        self.capacity = max(1, min(_MOST, _MOST_BYTES // image_bytes))
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Predicted] = OrderedDict()

    def add(self, pixels: Pixels, said: str) -> str:
        """Keep a prediction and return its id, which no other has, not even after a restart."""
        name = secrets.token_hex(_ID_BYTES)
        with self._lock:
            self._kept[name] = Predicted(pixels, said)
            while len(self._kept) > self.capacity:
                self._kept.popitem(last=False)
        return name

    def find(self, name: str) -> Predicted | None:
        """Return a prediction; None if it is forgotten, or never was."""
        with self._lock:
            return self._kept.get(name)

    def label(self, name: str, label: str) -> None:
        """Note what the user said it is."""
        with self._lock:
            kept = self._kept.get(name)
            if kept is not None:
                self._kept[name] = replace(kept, label=label)
