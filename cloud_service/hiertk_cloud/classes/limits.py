"""What a name is refused for: no free slot, too many of one device, a map that gets too large."""

import sqlite3
import time
from collections.abc import Sequence

from hiertk_protocol.class_map import MAX_MAP_BYTES, ClassMap
from hiertk_protocol.errors import ProtocolError

from hiertk_cloud.classes.changes import FreeSlots
from hiertk_cloud.classes.devices import KnownDevice

NAMES_A_DAY = 64  # that one device may get slots for
_DAY_S = 86_400


def lowest_free(free: FreeSlots, devices: Sequence[KnownDevice], capacity: int) -> int:
    """Return the slot that the next class gets. Raises ProtocolError if there is none."""
    if free.ready:
        return free.ready[0]
    waits = ""
    if free.waiting:
        oldest = min(devices, key=lambda device: device.version)
        waits = f", {len(free.waiting)} more wait for device {oldest.name} to confirm"
    raise ProtocolError(
        f"all class slots of {capacity} are taken{waits}: "
        "hiertk grow BUNDLE --class-capacity N makes more"
    )


def check_share(database: sqlite3.Connection, device: str) -> None:
    """Refuse a device that named too many classes of late. Raises ProtocolError."""
    (count,) = database.execute(
        "SELECT count(*) FROM changes WHERE device = ? AND made_at > ? AND kind = 'name'",
        (device, int(time.time()) - _DAY_S),
    ).fetchone()
    if count >= NAMES_A_DAY:
        raise ProtocolError(
            f"{device} named {count} classes in a day, the most that one device may"
        )


def check_size(following: ClassMap) -> None:
    """Refuse a map that does not fit its message. Raises ProtocolError."""
    size = following.to_message().ByteSize()
    if size > MAX_MAP_BYTES:
        raise ProtocolError(
            f"the class map would have {size} bytes, at most {MAX_MAP_BYTES} go over every broker: "
            "take shorter names"
        )
