"""Labels of feature batches: judged by the class map that they were made with, names registered.

Nothing is rewritten but the version that a message states: the trainer translates what the labels
meant then to what they mean when their turn comes.
"""

import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from hiertk_protocol.class_map import FIRST_VERSION, ClassMap
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.messages import NEW_CLASS

from hiertk_cloud.classes.classes import Classes

_TRY_AGAIN_S = 5.0
_MOST_REFUSED = 1024


class Labels:
    """Used by one thread. on_refused: gets device and reason when a name gets no slot."""

    def __init__(
        self,
        classes: Classes,
        on_refused: Callable[[str, str], None] = lambda _device, _reason: None,
    ) -> None:
        self._classes = classes
        self._on_refused = on_refused
        self._newest = classes.history.newest
        self._alive: dict[int, frozenset[int]] = {}  # by version: slots whose class still exists
        self._refused: dict[tuple[str, str], float] = {}  # a name of a device: when to try again

    def take(self, message: FeatureBatch) -> bool:
        """Check a message's labels, and give its new classes their slots.

        Returns whether the message was changed: it then states a version that has those classes.
        Raises ProtocolError for labels that have no class, or only classes that were retired.
        """
        history = self._classes.history
        made = history.at(message.class_map_version or FIRST_VERSION)
        labels = set(message.labels)
        if not message.new_classes:
            self._check(labels, made, history.newest)
            return False
        slots = {label for label in labels if label < NEW_CLASS}
        names = [message.new_classes[label - NEW_CLASS] for label in labels - slots]
        if names:
            _check_open(slots, made)
        else:
            self._check(slots, made, history.newest)
        return self._name(message, names, made)

    def _check(self, slots: AbstractSet[int], made: ClassMap, newest: ClassMap) -> None:
        _check_open(slots, made)
        if made.version != newest.version and slots.isdisjoint(self._alive_in(made, newest)):
            raise ProtocolError(
                f"all its labels are of classes that were retired since class map {made.version}"
            )

    def _alive_in(self, made: ClassMap, newest: ClassMap) -> frozenset[int]:
        if newest is not self._newest:
            self._newest, self._alive = newest, {}
        found = self._alive.get(made.version)
        if found is None:
            found = self._alive[made.version] = frozenset(
                one.slot for one in made.slots if newest.successor(one.slot, one.since)
            )
        return found

    def _name(self, message: FeatureBatch, names: list[str], made: ClassMap) -> bool:
        placed = [name for name in names if self._has_slot(name, message.device)]
        newest = self._classes.history.newest
        is_known = all(made.find(name) for name in placed)
        if is_known or not _mean_the_same(message, made, newest):
            # Where a slot means another thing by now, the names wait until the trainer has come to
            # the version that has them.
            return False
        message.class_map_version = newest.version
        return True

    def _has_slot(self, name: str, device: str) -> bool:
        now = time.monotonic()
        if self._refused.get((device, name), 0.0) > now:
            return False
        try:
            self._classes.request(name, device)
        except ProtocolError as error:
            if len(self._refused) >= _MOST_REFUSED:
                self._refused.clear()
            self._refused[device, name] = now + _TRY_AGAIN_S
            self._on_refused(device, f"no slot for class {name!r}: {error}")
            return False
        return True


def _check_open(slots: AbstractSet[int], made: ClassMap) -> None:
    if not slots <= made.by_slot.keys():
        # Its loss would be the class bias, 1e9.
        lowest = min(slots - made.by_slot.keys())
        raise ProtocolError(f"label {lowest} has no class in class map {made.version}")


def _mean_the_same(message: FeatureBatch, one: ClassMap, other: ClassMap) -> bool:
    """Return whether the slots that a message names are of the same classes in both versions."""
    slots = {slot for slot in (*message.labels, *message.early_exit) if slot < NEW_CLASS}
    return all(_since(one, slot) == _since(other, slot) for slot in slots)


def _since(version: ClassMap, slot: int) -> int | None:
    found = version.by_slot.get(slot)
    return None if found is None else found.since
