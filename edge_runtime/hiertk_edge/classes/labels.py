"""From the names that come with images to classes: which names are taken."""

import logging
import threading

from hiertk_protocol.class_names import clean_class_name
from hiertk_protocol.errors import HiertkError, ProtocolError

from hiertk_edge.classes.device_classes import DeviceClasses

_TOLD = 20
_log = logging.getLogger(__name__)


class DeviceLabels:
    """Implements sources.record.Labels; any thread may call it.

    accepts_new: a name that is not known opens a class; else it is none, for a typing error must
    not become a class.
    """

    def __init__(self, classes: DeviceClasses, *, accepts_new: bool) -> None:
        self._classes = classes
        self._accepts_new = accepts_new
        self._lock = threading.Lock()
        self._refused: set[str] = set()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the classes that there are."""
        return self._classes.table.names

    def slot_of(self, name: str) -> int | None:
        """Return the slot of the class with this name now; None if it is none."""
        try:
            return self._classes.table.slot_of(clean_class_name(name))
        except ProtocolError:
            return None

    def take(self, name: str) -> int | None:
        """Return the slot of the class with this name, opened if new ones are accepted."""
        slot = self.slot_of(name)
        if slot is not None or not self._accepts_new:
            return slot
        try:
            return self._classes.name_new(name)
        except HiertkError as error:
            self._tell_once(name, error)
            return None

    def _tell_once(self, name: str, error: HiertkError) -> None:
        with self._lock:
            is_new = name not in self._refused and len(self._refused) < _TOLD
            if is_new:
                self._refused.add(name)
        if is_new:
            _log.warning("%s", error)
