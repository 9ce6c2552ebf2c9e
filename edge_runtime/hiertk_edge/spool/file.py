"""The spool's file: its tables, whose it is, and what goes wrong with it.

Two tables hold the messages, so that looking at many of them reads none of their data.
"""

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, fields
from pathlib import Path

from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.storage import transaction

from hiertk_edge import damaged_file
from hiertk_edge.damaged_file import DamagedError
from hiertk_edge.spool.records import SpoolTotals

SCHEMA_VERSION = 2
LARGEST = (1 << 63) - 1

BATCHES = """
CREATE TABLE batches (
    seq INTEGER PRIMARY KEY, size INTEGER NOT NULL, checksum INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,   -- seconds of the spool's clock
    edge_step INTEGER NOT NULL, held_out INTEGER NOT NULL, bits INTEGER NOT NULL,
    thinned INTEGER NOT NULL,     -- how often it was
    labels BLOB NOT NULL          -- class slots, two bytes each, the low one first
)
"""
WIRE_HOURS = "CREATE TABLE wire_hours (hour INTEGER PRIMARY KEY, bytes INTEGER NOT NULL)"

_TOTALS = tuple(field.name for field in fields(SpoolTotals))
_CLOCK = ("clock", "wall")  # seconds that the device ran with this spool, and the date of then
_COUNTS = (*_TOTALS, *_CLOCK)
TOTALS = f"CREATE TABLE totals ({', '.join(f'{name} INTEGER NOT NULL' for name in _COUNTS)})"

_SCHEMA = (
    BATCHES,
    "CREATE TABLE messages (seq INTEGER PRIMARY KEY, message BLOB NOT NULL)",
    "CREATE TABLE owner (bundle_id BLOB NOT NULL, device TEXT NOT NULL, epoch TEXT NOT NULL)",
    """CREATE TABLE cursor (
        plan TEXT NOT NULL, consumed INTEGER NOT NULL, evaluated_at INTEGER NOT NULL
    )""",
    TOTALS,
    WIRE_HOURS,
    "INSERT INTO cursor VALUES ('', 0, 0)",
)
_READ_COUNTS = f"SELECT {', '.join(_COUNTS)} FROM totals"  # noqa: S608  (names of ours)
_WRITE_COUNTS = f"UPDATE totals SET {', '.join(f'{name} = ?' for name in _COUNTS)}"  # noqa: S608
INSERT_COUNTS = f"INSERT INTO totals VALUES ({', '.join('?' for _ in _COUNTS)})"  # noqa: S608


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, creating it if it is missing."""
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA journal_size_limit = 4194304")
        database.execute("PRAGMA cache_size = -256")  # KiB: memory is dearer than reading again
        # Debian's SQLite overwrites what is deleted with zeros: it would be written twice as often.
        database.execute("PRAGMA secure_delete = OFF")
    except BaseException:
        database.close()
        raise
    return database


def version_of(database: sqlite3.Connection, path: Path) -> int:
    """Return the version of the tables, 0 for a new file. Raises StorageError for a newer one."""
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    if not 0 <= version <= SCHEMA_VERSION:
        raise StorageError(
            f"{path}: spool version {version}, this is {SCHEMA_VERSION}: "
            "run the newer hiertk-edge, or choose another --state"
        )
    return version


def create(database: sqlite3.Connection, bundle_id: bytes, device: str) -> None:
    """Make the tables of a new file."""
    with transaction(database):
        for statement in _SCHEMA:
            database.execute(statement)
        database.execute(INSERT_COUNTS, (*astuple(SpoolTotals()), 0, 0))
        owner = (bundle_id, device, str(secrets.randbits(64)))
        database.execute("INSERT INTO owner VALUES (?, ?, ?)", owner)
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def check_owner(database: sqlite3.Connection, path: Path, bundle_id: bytes, device: str) -> int:
    """Return the epoch. Raises ConfigError if the spool is of another bundle or device."""
    query = "SELECT bundle_id, device, epoch FROM owner"
    held_id, held_device, text = database.execute(query).fetchone()
    epoch = int(text)
    if not isinstance(held_id, bytes) or not 0 <= epoch < 1 << 64:
        raise ValueError("the owner is damaged")
    if held_id != bundle_id:
        raise ConfigError(
            f"{path.parent} belongs to bundle {held_id.hex()[:16]}, not {bundle_id.hex()[:16]}: "
            "take that bundle, or another --state"
        )
    if held_device != device:
        raise ConfigError(
            f"{path.parent} belongs to device {held_device!r}, not {device!r}: "
            "take that name, or another --state"
        )
    return epoch


def read_counts(database: sqlite3.Connection) -> tuple[SpoolTotals, int, int]:
    """Return the totals, the clock and the date of then. Raises ValueError if they are damaged."""
    *counts, clock, wall = database.execute(_READ_COUNTS).fetchone()
    plan, *cursor = database.execute("SELECT * FROM cursor").fetchone()
    if not isinstance(plan, str) or not all(map(is_count, (*counts, *cursor, clock, wall))):
        raise ValueError("the counts are damaged")
    return SpoolTotals(*counts), clock, wall


def write_counts(
    database: sqlite3.Connection, totals: SpoolTotals, *, clock: int, wall: int
) -> None:
    """Write the totals, the clock and the date of now."""
    database.execute(_WRITE_COUNTS, (*astuple(totals), clock, max(0, wall)))


def is_count(value: object) -> bool:
    """Return whether a value of the file can be a count; SQLite keeps any type in any column."""
    return isinstance(value, int) and 0 <= value < LARGEST


@contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Turn what SQLite and the disk raise into DamagedError or StorageError.

    A damage is marked beside the file: the next start sets it aside, however whole it looks.
    """
    try:
        with damaged_file.reporting(path):
            yield
    except DamagedError:
        with suppress(OSError):  # a full disk, too: then the damage is met again
            mark_of_damage(path).touch()
        raise


def mark_of_damage(path: Path) -> Path:
    """Return what lies beside a file whose damage was met while it was used."""
    return path.with_name(f"{path.name}.is-damaged")
