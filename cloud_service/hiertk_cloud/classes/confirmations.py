"""Which device has put which class map in place: heard in any thread, kept by the writer's.

A slot that was retired is given to another class only once all of them have.
"""

import threading
import time
from collections.abc import Callable

from hiertk_protocol.hiertk_pb2 import DeviceStatus

from hiertk_cloud.classes.devices import KnownDevice
from hiertk_cloud.classes.registry import ClassRegistry
from hiertk_cloud.log import DiskFullError

_KEEP_EVERY_S = 1.0
_SEEN_EVERY_S = 600  # how exact "last seen" is; a commit for each status would be too many
# Retained: the broker brings them again, also of a device that was forgotten long ago.
_LAST_STATES = frozenset({DeviceStatus.OFFLINE, DeviceStatus.FINISHED})


class Confirmations:
    """What devices say of the class map. on_refused: gets device and reason of a wrong version."""

    def __init__(self, registry: ClassRegistry, on_refused: Callable[[str, str], None]) -> None:
        self._registry = registry
        self._on_refused = on_refused
        self._lock = threading.Lock()
        self._heard: dict[str, int] = {}
        self._due = 0.0
        self.refused_total = 0

    def hear(self, device: str) -> None:
        """Note that a device sent a feature batch: slots may mean something to it."""
        with self._lock:
            self._heard.setdefault(device, 0)

    def hear_status(self, device: str, status: DeviceStatus) -> None:
        """Note which version a device has put in place."""
        if status.state not in _LAST_STATES:
            with self._lock:
                self._heard[device] = status.class_map_version

    def turn(self) -> None:
        """Keep what was heard, at most once a second. Raises StorageError."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _KEEP_EVERY_S
        with self._lock:
            heard, self._heard = self._heard, {}
        known = {device.name: device for device in self._registry.devices}
        new = [
            one
            for name, version in heard.items()
            if _tells_more(one := KnownDevice(name, self._made(name, version), _now()), known)
        ]
        try:
            self._registry.note(new)
        except DiskFullError:  # the log tells of it; what was heard waits for room
            with self._lock:
                self._heard = heard | self._heard

    def _made(self, device: str, version: int) -> int:
        """Return the version, or 0 if there never was such a one."""
        newest = self._registry.history.newest.version
        if version <= newest:
            return version
        self.refused_total += 1
        self._on_refused(
            device,
            f"it has class map {version}, the newest is {newest}: was this service's state "
            "restored from an older backup?",
        )
        return 0


def _tells_more(one: KnownDevice, known: dict[str, KnownDevice]) -> bool:
    before = known.get(one.name)
    if before is None:
        return True
    is_another = one.version not in (0, before.version)
    return is_another or one.seen - before.seen >= _SEEN_EVERY_S


def _now() -> int:
    return int(time.time())
