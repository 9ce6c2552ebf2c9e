"""What went over the wire in each hour, as the spool keeps it across restarts.

Hours are counted by the spool's clock, which stands still while the device is switched off. How
long that was, the wall clock says, and a day is believed at most: a clock that is years ahead at
boot ends one daily budget early, and a clock that is behind ends none.
"""

import sqlite3
from collections.abc import Mapping

from hiertk_edge.spool.file import is_count

HOUR_S = 3600
_DAY_S = 24 * HOUR_S
_KEPT_HOURS = 25


def switched_off_s(saved_wall: int, wall: float) -> int:
    """Return how long the device was switched off. saved_wall: 0 for never on before."""
    return 0 if saved_wall == 0 else int(min(max(0.0, wall - saved_wall), _DAY_S + HOUR_S))


def read_hours(database: sqlite3.Connection) -> dict[int, int]:
    """Return the bytes of each hour. Raises ValueError if they are damaged."""
    hours = dict(database.execute("SELECT hour, bytes FROM wire_hours").fetchall())
    if not all(isinstance(hour, int) and is_count(size) for hour, size in hours.items()):
        raise ValueError("the hours of the wire are damaged")
    return hours


def write_hours(database: sqlite3.Connection, hours: Mapping[int, int], now: int) -> None:
    """Write the bytes of some hours, and forget those that no budget counts any more."""
    database.executemany("INSERT OR REPLACE INTO wire_hours VALUES (?, ?)", hours.items())
    database.execute("DELETE FROM wire_hours WHERE hour < ?", (now // HOUR_S - _KEPT_HOURS,))


def move_back(database: sqlite3.Connection, hours: Mapping[int, int], seconds: int) -> None:
    """Date all hours earlier: so long the device was switched off."""
    database.execute("DELETE FROM wire_hours")
    earlier = [(hour - seconds // HOUR_S, size) for hour, size in hours.items()]
    database.executemany("INSERT INTO wire_hours VALUES (?, ?)", earlier)
