"""What the log may forget: the oldest consumed batches that no replay can draw any more."""

import sqlite3
from collections import Counter
from dataclasses import dataclass

_CHUNK = 256

# The batches table has few bytes a row; the message is what counts.
_OLDEST = """
SELECT position, device, size, stored_at FROM batches
WHERE turn BETWEEN 1 AND ? AND size > 0 ORDER BY turn LIMIT ?
"""

# A batch above its stream's `through` is remembered, lest it be stored again when sent again.
_FORGET = """
DELETE FROM batches WHERE position = ? AND EXISTS (
    SELECT 1 FROM streams WHERE device = batches.device AND epoch = batches.epoch
    AND batches.seq <= through)
"""


@dataclass(frozen=True)
class Retention:
    """How much is kept: bytes of messages, and seconds; None is no limit.

    replay_window: so many of the newest training batches are kept whatever the limits say.
    """

    max_bytes: int | None = None
    max_age_s: int | None = None
    replay_window: int = 4096


def last_free_turn(database: sqlite3.Connection, consumed: int, replay_window: int) -> int:
    """Return the turn up to which nobody needs a batch. consumed: turns, as checkpointed."""
    newest = database.execute(
        "SELECT train_number FROM batches WHERE turn BETWEEN 1 AND ? AND train_number IS NOT NULL "
        "ORDER BY turn DESC LIMIT 1",
        (consumed,),
    ).fetchone()
    if newest is None:
        return 0
    row = database.execute(
        "SELECT turn FROM batches WHERE train_number = ?", (newest[0] - replay_window + 1,)
    ).fetchone()
    return min(consumed, row[0] - 1) if row else 0


def prune(
    database: sqlite3.Connection,
    retention: Retention,
    *,
    last_turn: int,
    held_bytes: int,
    now: int,
) -> Counter[str]:
    """Delete what is beyond the limits, at most some hundred, inside a transaction.

    Returns the bytes per device that are gone.
    """
    gone: Counter[str] = Counter()
    for position, device, size, stored_at in database.execute(
        _OLDEST, (last_turn, _CHUNK)
    ).fetchall():
        too_much = retention.max_bytes is not None and held_bytes > retention.max_bytes
        too_old = retention.max_age_s is not None and now - stored_at > retention.max_age_s
        if not (too_much or too_old):
            break
        database.execute("DELETE FROM messages WHERE position = ?", (position,))
        database.execute("UPDATE batches SET size = 0 WHERE position = ?", (position,))
        database.execute(_FORGET, (position,))
        gone[device] += size
        held_bytes -= size
    for device, size in gone.items():
        database.execute(
            "UPDATE devices SET held_bytes = held_bytes - ? WHERE device = ?", (size, device)
        )
    return gone
