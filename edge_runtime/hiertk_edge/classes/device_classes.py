"""The classes of a device: durable, and the same for all of its threads.

Only this table decides: it is written first, and every store (rehearsal memory, learner) follows
it, at once or at the next start. So a crash between two stores leaves none that is ahead.
"""

import logging
import threading
from collections.abc import Iterable
from pathlib import Path

from hiertk_protocol.class_map import ClassMap
from hiertk_protocol.class_names import clean_class_name
from hiertk_protocol.errors import ConfigError, HiertkError
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.manifest import Manifest

from hiertk_edge.classes.file import read_table, write_table
from hiertk_edge.classes.table import ClassInSlot, ClassTable, exported_table
from hiertk_edge.damaged_file import DamagedError, set_aside

MOST_PROVISIONAL = 16  # a feature message names no more new classes
_MAP_PROBLEM = "class map"
_SHOWN = 80
_log = logging.getLogger(__name__)


class DeviceClasses:
    """The newest class map in place, and the provisional classes; any thread may call it."""

    def __init__(self, path: Path, manifest: Manifest, problems: Problems) -> None:
        """Read the table, or begin with the bundle's. Raises StorageError.

        A file that is damaged is set aside: the broker has the map, and the stores know the names
        of the provisional classes.
        """
        self._path = path
        self._manifest = manifest
        self._problems = problems
        self._lock = threading.Lock()
        self._ignored = 0
        self._table = self._read() or exported_table(manifest.classes)

    @property
    def table(self) -> ClassTable:
        """The classes now."""
        return self._table

    @property
    def version(self) -> int:
        """The version of the class map in place."""
        return self._table.map.version

    @property
    def provisional(self) -> tuple[str, ...]:
        """The names of the classes that have no slot in the class map yet."""
        return tuple(self._table.provisional)

    @property
    def ignored(self) -> int:
        """Number of class maps that were not taken, since the start."""
        return self._ignored

    def name_new(self, name: str) -> int:
        """Return the slot of a class, which is opened as a provisional one if it is not known.

        Raises ProtocolError for an unusable name, ConfigError if there is no room, StorageError.
        """
        name = clean_class_name(name)
        with self._lock:
            known = self._table.slot_of(name)
            if known is not None:
                return known
            slot = self._free_slot(name)
            self._put(self._table.with_provisional(name, slot))
        _log.info("class %r is new: until the cloud gives it a slot it has slot %d", name, slot)
        return slot

    def take(self, newer: ClassMap) -> bool:
        """Put a newer map in place; return whether anything is new. Raises StorageError.

        One that cannot come after the map in place is ignored, as `ignore` does.
        """
        with self._lock:
            old = self._table
            if newer == old.map:
                self._problems.end(_MAP_PROBLEM, "the cloud's class map is this device's again")
                return False
            reason = _why_not_after(old.map, newer)
            if not reason:
                self._put(old.after(newer))
        if reason:
            self.ignore(reason)
            return False
        self._problems.end(_MAP_PROBLEM, "a class map of the cloud fits again")
        _log.info("class map %d is in place, with %d classes", newer.version, len(newer.slots))
        self._tell_left_out(old)
        return True

    def ignore(self, reason: str) -> None:
        """Count a class map that is not taken, and tell why."""
        self._ignored += 1
        self._problems.begin(_MAP_PROBLEM, f"a class map is ignored: {reason}")

    def adopt(self, known: Iterable[ClassInSlot]) -> None:
        """Open anew, as provisional classes, what a store knows and the table has lost."""
        for name in self._table.lacks(known):
            self._adopt_one(name)

    def _adopt_one(self, name: str) -> None:
        try:
            self.name_new(name)
        except HiertkError as error:
            self._tell_lost(name, error)

    def _read(self) -> ClassTable | None:
        try:
            return read_table(self._path, self._manifest)
        except DamagedError as error:
            set_aside(self._path, "table of classes", error)
            return None

    def _put(self, table: ClassTable) -> None:
        write_table(self._path, table, self._manifest)
        self._table = table

    def _free_slot(self, name: str) -> int:
        if len(self._table.provisional) >= MOST_PROVISIONAL:
            raise ConfigError(
                f"no room for class {name[:_SHOWN]!r}: {MOST_PROVISIONAL} new classes wait for "
                "their slots already: connect the device to its cloud"
            )
        slot = self._table.free_slot()
        if slot is None:
            raise ConfigError(
                f"no room for class {name[:_SHOWN]!r}: all {self._table.capacity} class slots are "
                "taken: retire a class in the cloud, or `hiertk grow` the bundle"
            )
        return slot

    def _tell_left_out(self, old: ClassTable) -> None:
        for name in old.provisional:
            if self._table.slot_of(name) is None:
                self._tell_lost(name, ConfigError("all class slots are taken"))

    def _tell_lost(self, name: str, why: HiertkError) -> None:
        self._problems.begin(
            f"class {name}",
            f"class {name[:_SHOWN]!r} is given up on this device, its images too: {why}",
        )


def _why_not_after(old: ClassMap, newer: ClassMap) -> str:
    """Return why a map cannot come after another one; "" if it can.

    Every class that a later map dates back to the older map's time must be in that one: else a
    registry was lost and begun anew, and its slots stand for other classes.
    """
    keep = "this device keeps its own: restore the cloud's state, or give the device a new one"
    if newer.version < old.version:
        return f"version {newer.version} is older than this device's {old.version}; {keep}"
    origins = [(one.slot, one.since) for one in newer.slots]
    origins += [(alias.slot, alias.since) for one in newer.slots for alias in one.aliases]
    unknown = [
        slot for slot, since in origins if since <= old.version and not old.successor(slot, since)
    ]
    if unknown or newer.version == old.version:
        return (
            f"version {newer.version} is no later one of this device's {old.version}: the cloud's "
            f"registry was begun anew; {keep}"
        )
    return ""
