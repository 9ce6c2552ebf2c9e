"""The devices that the registry knows, and the class map that each of them has put in place."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

MAX_DEVICES = 10_000

_WRITE = """
INSERT INTO devices VALUES (:name, :version, :seen)
ON CONFLICT (device) DO UPDATE SET seen = :seen,
    version = CASE WHEN :version > 0 THEN :version ELSE version END
"""


@dataclass(frozen=True)
class KnownDevice:
    """A device. version: of the class map that it has in place; 0: unknown. seen: since 1970."""

    name: str
    version: int
    seen: int


def read_devices(database: sqlite3.Connection) -> tuple[KnownDevice, ...]:
    """Return all devices, by name."""
    rows = database.execute("SELECT * FROM devices ORDER BY device LIMIT ?", (MAX_DEVICES,))
    return tuple(KnownDevice(name, version, seen) for name, version, seen in rows)


def write_devices(database: sqlite3.Connection, heard: Iterable[KnownDevice]) -> None:
    """Keep what devices said, inside a transaction; beyond MAX_DEVICES, no new ones."""
    for one in heard:
        values = {"name": one.name, "version": one.version, "seen": one.seen}
        database.execute(_WRITE, values)
    database.execute(
        "DELETE FROM devices WHERE device IN "
        "(SELECT device FROM devices ORDER BY version DESC, seen LIMIT -1 OFFSET ?)",
        (MAX_DEVICES,),
    )
