"""What goes into the log, and what it answers."""

import zlib
from dataclasses import dataclass
from typing import TypeGuard

from hiertk_protocol.messages import BatchKey


@dataclass(frozen=True)
class Accepted:
    """A message that passed every check."""

    key: BatchKey
    floor: int
    edge_step: int
    held_out: bool
    message: bytes


@dataclass(frozen=True)
class Refused:
    """A message that is never to be sent again, and why."""

    key: BatchKey
    floor: int
    reason: str


@dataclass(frozen=True)
class Settled:
    """What is settled of one device's epoch: the contents of its ack.

    refused: (seq, reason) of those refused ones that came now, for the first time or again.
    """

    device: str
    epoch: int
    through: int
    beyond: tuple[int, ...]
    refused: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class LogTotals:
    """What ever came: stored, refused, come again; `ignored` counts since the log was opened.

    held_bytes: of the messages that are still there; waiting_bytes: of those without a turn to be
    consumed yet. turns: how many have been given theirs.
    """

    stored: int = 0
    refused: int = 0
    duplicates: int = 0
    ignored: int = 0
    held_bytes: int = 0
    waiting_bytes: int = 0
    turns: int = 0


@dataclass(frozen=True)
class DeviceTotals:
    """The same of one device. waiting: batches stored and without a turn yet."""

    stored: int = 0
    stored_bytes: int = 0
    refused: int = 0
    duplicates: int = 0
    held_bytes: int = 0
    waiting: int = 0
    waiting_bytes: int = 0


def is_whole(message: object, wanted: int) -> TypeGuard[bytes]:
    """Return whether what was read is the message of that checksum; damage can change its type."""
    return isinstance(message, bytes) and checksum(message) == wanted


def checksum(message: bytes) -> int:
    """Return what tells whether a stored message is as it came."""
    return zlib.crc32(message)
