"""What the tests of the log share: small messages, and counts."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from hiertk_cloud.log import Accepted, DurableLog, LogReader, Refused
from hiertk_protocol.messages import BatchKey

BUNDLE = bytes(range(32))
DEVICE = "pi-1"
EPOCH = (1 << 64) - 1


def stored(
    seq: int,
    *,
    device: str = DEVICE,
    floor: int = 1,
    epoch: int = EPOCH,
    held_out: bool = False,
    edge_step: int | None = None,
    size: int = 0,
) -> Accepted:
    """A message with its number as text, filled up to a size."""
    message = (b"message %d" % seq).ljust(size, b".")
    step = seq if edge_step is None else edge_step
    return Accepted(BatchKey(device, epoch, seq), floor, step, held_out, message)


def refused(seq: int, reason: str = "too odd", *, floor: int = 1) -> Refused:
    return Refused(BatchKey(DEVICE, EPOCH, seq), floor, reason)


def give_all_turns(log: DurableLog, *, stale_after: int = 0) -> None:
    while log.give_turns(stale_after=stale_after):
        pass


def in_turn(reader: LogReader) -> list[bytes]:
    messages: list[bytes] = []
    while (entry := reader.at_turn(len(messages) + 1)) is not None:
        messages.append(entry.message)
    return messages


def query(path: Path, text: str, *values: object) -> list[Any]:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        return database.execute(text, values).fetchall()
