"""Who is next: stored batches get their turn, fairly over devices.

Each device that has batches waiting gets one turn after the other, in the order of names, so that
one with a long backlog does not hold the others up. Turns are written into the log before anything
is trained on, so that a run resumed from a checkpoint trains in the same order.
"""

import sqlite3
from dataclasses import dataclass

_NEXT = """
SELECT batches.position, batches.device, size, held_out,
    streams.edge_step - batches.edge_step
FROM batches INDEXED BY waiting JOIN streams USING (device, epoch)
WHERE turn IS NULL AND batches.device > ?
ORDER BY batches.device, batches.position LIMIT 1
"""


@dataclass(frozen=True)
class Turns:
    """Turns that were given. last: the newest. given: device and message bytes of each."""

    last: int
    given: tuple[tuple[str, int], ...]


def give_turns(database: sqlite3.Connection, *, count: int, after: str, stale_after: int) -> Turns:
    """Give up to `count` waiting batches their turns, inside a transaction.

    after: the device whose turn was the last. stale_after: a training batch so many edge steps
    behind the newest of its device is left out, and gets no train number; 0 leaves none out.
    """
    turns, trained = database.execute("SELECT turns, trained FROM totals").fetchone()
    given = []
    for _ in range(count):
        found = database.execute(_NEXT, (after,)).fetchone()
        if found is None and after:  # the end of the names
            found = database.execute(_NEXT, ("",)).fetchone()
        if found is None:
            break
        position, after, size, held_out, behind = found
        is_stale = stale_after > 0 and behind is not None and behind > stale_after
        trains = not held_out and not is_stale
        turns += 1
        trained += trains
        database.execute(
            "UPDATE batches SET turn = ?, train_number = ? WHERE position = ?",
            (turns, trained if trains else None, position),
        )
        given.append((after, size))
    database.execute("UPDATE totals SET turns = ?, trained = ?", (turns, trained))
    return Turns(turns, tuple(given))
