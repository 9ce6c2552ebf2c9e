"""How many samples of each class were trained on since the service started."""

import threading
from collections import Counter
from collections.abc import Mapping

from hiertk_protocol.class_map import ClassMap
from hiertk_protocol.messages import SlotArray


class ClassTally:
    """Counts labels; any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: Counter[tuple[int, int]] = Counter()  # by (slot, since)

    def add(self, labels: SlotArray, classes: ClassMap) -> None:
        """Count the new samples of a step. labels: (N,) int64 slots of that map."""
        counts = Counter(labels.tolist())
        with self._lock:
            for slot, samples in counts.items():
                entry = classes.by_slot.get(slot)
                if entry is not None:
                    self._samples[slot, entry.since] += samples

    def by_slot(self, classes: ClassMap) -> Mapping[int, int]:
        """Return the samples by slot of a later map; those of merged classes with their target."""
        with self._lock:
            samples = dict(self._samples)
        found: Counter[int] = Counter()
        for (slot, since), count in samples.items():
            entry = classes.successor(slot, since)
            if entry is not None:
                found[entry.slot] += count
        return found
