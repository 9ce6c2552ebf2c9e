"""What goes when the spool is full. Pure: no database, no clock.

drop-oldest   the oldest messages go
drop-newest   the new message is not stored
thin-out      messages lose every second sample: the least thinned first, and of these the oldest;
              so what is held stays an even sample of the whole outage. Within a message the classes
              most common in the spool lose first. A message that has no sample left goes
fewer-bits    the oldest messages of 8 bits are quantized anew to 4; when all have 4, the oldest go

Messages held out for measuring are never thinned or quantized anew: the cloud measures on whole
rounds, and with what the device measured. thin-out drops those of a round that a newer one in the
spool replaces, when their turn comes.
"""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from hiertk_edge.spool.records import Row

FEW_BITS = 4
# A message has at most 4096 samples, which thirteen halvings use up.
MOST_THINNED = 13

Thinning = Literal["thin", "drop", "pass over"]


def thinning_of(row: Row, newest_evaluation: int) -> Thinning:
    """Return what thin-out does about a message whose turn it is.

    newest_evaluation: the highest edge step of the messages held out. Passing over counts as
    thinning, so that every message goes after some turns and room is always found.
    """
    if row.thinned >= MOST_THINNED:
        return "drop"
    if row.held_out:
        return "drop" if row.edge_step < newest_evaluation else "pass over"
    return "drop" if len(row.labels) < 2 else "thin"


def samples_to_keep(labels: Sequence[int], held: Mapping[int, int]) -> list[int]:
    """Return the indexes of the samples that stay in a message (N,): half of them, rounded down.

    labels: the message's class slots. held: samples of each class in the whole spool. Each sample
    taken is of the class most common in the spool by then.
    """
    by_class: dict[int, list[int]] = {}
    for index, slot in enumerate(labels):
        by_class.setdefault(slot, []).append(index)
    most_common = [(-held.get(slot, 0), slot) for slot in by_class]
    heapq.heapify(most_common)
    for _ in range(len(labels) - len(labels) // 2):
        count, slot = heapq.heappop(most_common)
        by_class[slot].pop()
        if by_class[slot]:
            heapq.heappush(most_common, (count + 1, slot))
    return sorted(index for indexes in by_class.values() for index in indexes)


def classes_of(rows: Sequence[Row]) -> Counter[int]:
    """Return how many samples of each class slot some messages hold."""
    return Counter(slot for row in rows for slot in row.labels)
