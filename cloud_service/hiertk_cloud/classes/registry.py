"""The registry of classes: the only one that gives slots, and so makes versions of the class map.

It is a file of its own beside the log. The service writes to it and the commands do, at the same
time if need be: each change is one transaction that first takes up what others have changed.
"""

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hiertk_protocol.class_map import ClassSlot, exported_map
from hiertk_protocol.class_names import clean_class_name
from hiertk_protocol.class_requests import GivenSlot
from hiertk_protocol.errors import ConfigError, ProtocolError
from hiertk_protocol.manifest import ClassInfo, Manifest
from hiertk_protocol.storage import transaction

from hiertk_cloud.classes.changes import Change, FreeSlots, Kind, changed, free_slots
from hiertk_cloud.classes.devices import KnownDevice, read_devices, write_devices
from hiertk_cloud.classes.file import (
    add_change,
    open_existing,
    open_file,
    read_changes,
    read_exported,
    reporting,
    reporting_damage,
)
from hiertk_cloud.classes.history import ClassHistory
from hiertk_cloud.classes.limits import check_share, check_size, lowest_free


class ClassRegistry:
    """The classes of one bundle's deployment; any thread may call it."""

    def __init__(self, path: Path, database: sqlite3.Connection, exported: ClassInfo) -> None:
        """Read what the file holds; `open` and `existing` open it. Raises StorageError."""
        self._path = path
        self._database = database
        self._lock = threading.Lock()
        self._capacity = exported.capacity
        self._history = ClassHistory((exported_map(exported),))
        self._changes: tuple[Change, ...] = ()
        self._devices: tuple[KnownDevice, ...] = ()
        self._data_version = 0
        try:
            self.refresh()
        except BaseException:
            database.close()
            raise

    @classmethod
    def open(cls, path: Path, manifest: Manifest) -> "ClassRegistry":
        """Open or create a bundle's registry.

        Raises ConfigError if the file belongs to another bundle, StorageError if it is damaged.
        """
        return cls(path, open_file(path, manifest), manifest.classes)

    @classmethod
    def existing(cls, path: Path) -> "ClassRegistry":
        """Open a registry without its bundle. Raises ConfigError if there is none, StorageError."""
        database = open_existing(path)
        try:
            exported = read_exported(database, path)
        except BaseException:
            database.close()
            raise
        return cls(path, database, exported)

    @property
    def capacity(self) -> int:
        """How many slots there are."""
        return self._capacity

    @property
    def history(self) -> ClassHistory:
        """All versions that are known to be committed; `refresh` looks for others' changes."""
        return self._history

    @property
    def changes(self) -> tuple[Change, ...]:
        """What made the versions from 2 on."""
        return self._changes

    @property
    def devices(self) -> tuple[KnownDevice, ...]:
        """The devices that a slot's reuse waits for, by name."""
        return self._devices

    @property
    def free(self) -> FreeSlots:
        """The slots without a class."""
        confirmed = (device.version for device in self._devices)
        return free_slots(self._history.newest, self._changes, self._capacity, confirmed)

    def request(self, name: str, device: str = "") -> GivenSlot:
        """Return the slot of a name, which gets one if it has none.

        device: who asks; empty for the operator, who may name any number a day. Raises
        ProtocolError with the reason if there can be no slot, StorageError.
        """
        name = clean_class_name(name)
        found = self._history.newest.find(name)
        if found is None:
            with self._changing():
                found = self._history.newest.find(name)
                if found is None:
                    if device:
                        check_share(self._database, device)
                    slot = lowest_free(self.free, self._devices, self._capacity)
                    self._make(Kind.NAME, slot, name, device=device)
            found = self._history.newest.find(name)
        if found is None:
            raise ProtocolError(f"class {name!r} was retired at this moment")
        # An alias is not known to the version that gave the class its slot.
        version = found.since if found.name == name else self._history.newest.version
        return GivenSlot(found.slot, version)

    def merge(self, name: str, into: str) -> ClassSlot:
        """Let a class be an alias of another from now on, and return that; again changes nothing.

        Raises ConfigError if there is no such class, StorageError.
        """
        name, into = clean_class_name(name), clean_class_name(into)
        with self._changing():
            source, target = self._class_of(name), self._class_of(into)
            if source is not target:
                self._check_is_no_alias(name, source, "merge")
                self._make(Kind.MERGE, source.slot, source.name, into=target.slot)
        return self._class_of(into)

    def retire(self, name: str) -> bool:
        """Take a class out of the map; return False if it is out already.

        Raises ConfigError if there never was such a class, StorageError.
        """
        name = clean_class_name(name)
        with self._changing():
            if self._history.newest.find(name) is None and self._was_retired(name):
                return False
            found = self._class_of(name)
            self._check_is_no_alias(name, found, "retire")
            if len(self._history.newest.slots) == 1:
                raise ConfigError(f"{name!r} is the last class: name another before retiring it")
            self._make(Kind.RETIRE, found.slot, found.name)
        return True

    def note(self, heard: Iterable[KnownDevice]) -> None:
        """Keep which version devices have in place; 0 leaves what one said before.

        Raises StorageError.
        """
        known = tuple(heard)
        if not known:
            return
        with self._lock, reporting(self._path):
            with transaction(self._database):
                write_devices(self._database, known)
            self._devices = read_devices(self._database)

    def forget_device(self, device: str) -> bool:
        """Wait for a device no longer; return False if it is unknown. Raises StorageError."""
        with self._lock, reporting(self._path):
            gone = self._database.execute("DELETE FROM devices WHERE device = ?", (device,))
            self._devices = read_devices(self._database)
        return gone.rowcount > 0

    def refresh(self) -> bool:
        """Take up what other processes changed; return whether anything is. Raises StorageError."""
        with self._lock, reporting_damage(self._path):
            (version,) = self._database.execute("PRAGMA data_version").fetchone()
            if version == self._data_version:
                return False
            self._data_version = version
            self._catch_up()
            self._devices = read_devices(self._database)
        return True

    def close(self) -> None:
        """Close the file; nothing may be changed afterwards."""
        with self._lock, reporting(self._path):
            self._database.close()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the file for one change, which counts once it is committed."""
        with self._lock:
            with reporting(self._path), transaction(self._database):
                with reporting_damage(self._path):
                    self._catch_up()
                yield
            with reporting_damage(self._path):
                self._catch_up()

    def _catch_up(self) -> None:
        history = self._history
        made = read_changes(self._database, history.newest.version)
        for change in made:
            history = history.followed_by(changed(history.newest, change, self._capacity))
        self._history, self._changes = history, (*self._changes, *made)

    def _make(
        self, kind: Kind, slot: int, name: str, *, into: int | None = None, device: str = ""
    ) -> None:
        newest = self._history.newest
        change = Change(newest.version + 1, kind, slot, name, into, int(time.time()), device)
        following = changed(newest, change, self._capacity)
        if kind is not Kind.RETIRE:
            check_size(following)
        add_change(self._database, change)

    def _class_of(self, name: str) -> ClassSlot:
        found = self._history.newest.find(name)
        if found is None:
            raise ConfigError(f"there is no class {name!r}: hiertk-cloud classes lists them")
        return found

    def _check_is_no_alias(self, name: str, found: ClassSlot, what: str) -> None:
        if found.name != name:
            raise ConfigError(f"{name!r} is an alias of class {found.name!r}: {what} that one")

    def _was_retired(self, name: str) -> bool:
        return any(one.kind is Kind.RETIRE and one.name == name for one in self._changes)
