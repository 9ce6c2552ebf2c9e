"""The tables of the memory's file and the records in them."""

from dataclasses import dataclass

SCHEMA_VERSION = 2
_LARGEST = 1 << 62

SCHEMA = """
CREATE TABLE owner (bundle_id BLOB NOT NULL, input_size INTEGER NOT NULL);
CREATE TABLE progress (
    seed INTEGER NOT NULL,
    batches INTEGER NOT NULL,  -- that training took
    through INTEGER NOT NULL   -- the newest sample that training took
);
CREATE TABLE labels (  -- of the samples: which class they stand for
    label INTEGER PRIMARY KEY, slot INTEGER NOT NULL, name TEXT NOT NULL, since INTEGER NOT NULL
);
CREATE TABLE classes (slot INTEGER PRIMARY KEY, seen INTEGER NOT NULL, is_full INTEGER NOT NULL);
CREATE TABLE cells (cell INTEGER PRIMARY KEY, head BLOB NOT NULL, pixels BLOB NOT NULL);
CREATE TABLE kept (cell INTEGER PRIMARY KEY);  -- those of the reservoir
"""

FROM_1 = """
CREATE TABLE labels (
    label INTEGER PRIMARY KEY, slot INTEGER NOT NULL, name TEXT NOT NULL, since INTEGER NOT NULL
);
DROP TABLE owner;
CREATE TABLE owner (bundle_id BLOB NOT NULL, input_size INTEGER NOT NULL)
"""


@dataclass(frozen=True)
class Owner:
    """Whose samples these are."""

    bundle_id: bytes
    input_size: int


@dataclass(frozen=True)
class FirstOwner:
    """What schema 1 had in place of labels. class_names: the sha256 of the first class_count."""

    owner: Owner
    class_count: int
    class_names: bytes


@dataclass(frozen=True)
class Progress:
    """How far training has come. batches: taken. through: the newest sample taken."""

    seed: int
    batches: int = 0
    through: int = 0


def are_counts(*values: object) -> bool:
    """Return whether these are whole numbers that can be counts."""
    return all(isinstance(value, int) and 0 <= value < _LARGEST for value in values)


def is_sha256(value: object) -> bool:
    """Return whether this can be a digest."""
    return isinstance(value, bytes) and len(value) == 32
