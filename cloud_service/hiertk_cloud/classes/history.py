"""All versions of the class map: what a label meant when it was made, and what it means now."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hiertk_protocol.class_map import FIRST_VERSION, ClassMap, ClassSlot
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.messages import NEW_CLASS, SlotArray

NO_CLASS = -1


@dataclass(frozen=True)
class ClassHistory:
    """The class map's versions, from the first one on; nothing in it ever changes."""

    versions: tuple[ClassMap, ...]

    @property
    def newest(self) -> ClassMap:
        """The version that stands now."""
        return self.versions[-1]

    def at(self, version: int) -> ClassMap:
        """Return a version. Raises ProtocolError for one that was never made."""
        if not FIRST_VERSION <= version <= self.newest.version:
            raise ProtocolError(
                f"class map version {version} was never made, the newest is {self.newest.version}"
            )
        return self.versions[version - FIRST_VERSION]

    def followed_by(self, newer: ClassMap) -> "ClassHistory":
        """Return the history with one version more."""
        return ClassHistory((*self.versions, newer))

    def translate(
        self, labels: SlotArray, names: Sequence[str], *, made: int, now: int
    ) -> SlotArray:
        """Return labels (N,) int64 of the version `made` as slots of the version `now`.

        names: what the labels from NEW_CLASS on stand for. NO_CLASS where a class has no slot in
        that version: it was retired, or is not registered yet. Raises ProtocolError for a version
        that was never made.
        """
        then, later = self.at(made), self.at(now)
        known = {
            label: NO_CLASS
            if (found := _meaning(label, names, then, later)) is None
            else found.slot
            for label in np.unique(labels).tolist()
        }
        return np.array([known[label] for label in labels.tolist()], np.int64)


def _meaning(label: int, names: Sequence[str], then: ClassMap, later: ClassMap) -> ClassSlot | None:
    if label >= NEW_CLASS:
        index = label - NEW_CLASS
        return later.find(names[index]) if index < len(names) else None
    old = then.by_slot.get(label)
    return None if old is None else later.successor(old.slot, old.since)
