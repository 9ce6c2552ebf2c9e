"""What the spool takes and tells: limits, cursor, totals, messages."""

from dataclasses import dataclass
from typing import Literal

DEFAULT_MAX_BYTES = 256 << 20

WhenFull = Literal["drop-oldest", "drop-newest", "thin-out", "fewer-bits"]


@dataclass(frozen=True)
class SpoolLimits:
    """How much the spool holds, and what goes when it is full.

    max_bytes: of messages. max_age_s: seconds that the device may run with a message in its spool;
    0: no limit. when_full: the policy, see `policy`.
    """

    max_bytes: int = DEFAULT_MAX_BYTES
    max_age_s: int = 0
    when_full: WhenFull = "drop-oldest"


@dataclass(frozen=True)
class Cursor:
    """How far training has come in its data.

    plan: names data, seed and batch size. consumed: batches of the source used up.
    evaluated_at: `consumed` at the newest complete evaluation, 0 for none.
    """

    plan: str = ""
    consumed: int = 0
    evaluated_at: int = 0


@dataclass(frozen=True)
class SpoolTotals:
    """What the spool holds now, and what ever went through it.

    Messages, if nothing else is said. dropped: because the spool was full; dropped_samples: the
    same in samples. thinned: samples taken out of messages. requantized: reduced to 4 bits. aged:
    dropped for their age. too_large: dropped because no link took them. damaged: not as they were
    stored when they were to be sent. published: no higher sequence number was handed to the broker.
    """

    held: int = 0
    held_bytes: int = 0
    next_seq: int = 1
    spooled: int = 0
    samples: int = 0
    payload_bytes: int = 0
    dropped: int = 0
    refused: int = 0
    dropped_samples: int = 0
    thinned: int = 0
    requantized: int = 0
    aged: int = 0
    too_large: int = 0
    damaged: int = 0
    published: int = 0


@dataclass(frozen=True)
class Stored:
    """A message in the spool."""

    seq: int
    message: bytes


@dataclass(frozen=True)
class Row:
    """What the spool knows of a message without reading it.

    size: bytes. stored_at: seconds that the device had run with this spool. labels: class slots,
    (N,). thinned: how often it was.
    """

    seq: int
    size: int
    stored_at: int
    edge_step: int
    held_out: bool
    bits: int
    labels: tuple[int, ...]
    thinned: int = 0
