"""How the totals change with what comes and goes. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from hiertk_edge.spool.records import Row, SpoolTotals


def with_stored(totals: SpoolTotals, rows: Sequence[Row]) -> SpoolTotals:
    """Return the totals with messages under the next numbers."""
    return replace(
        totals,
        held=totals.held + len(rows),
        held_bytes=totals.held_bytes + size_of(rows),
        next_seq=totals.next_seq + len(rows),
        spooled=totals.spooled + len(rows),
    )


def without(totals: SpoolTotals, rows: Sequence[Row]) -> SpoolTotals:
    """Return the totals without some messages among those held."""
    return replace(
        totals,
        held=max(0, totals.held - len(rows)),
        held_bytes=max(0, totals.held_bytes - size_of(rows)),
    )


def with_dropped(totals: SpoolTotals, messages: int, samples: int) -> SpoolTotals:
    """Return the totals with messages dropped."""
    return replace(
        totals,
        dropped=totals.dropped + messages,
        dropped_samples=totals.dropped_samples + samples,
    )


def with_aged(totals: SpoolTotals, rows: Sequence[Row]) -> SpoolTotals:
    """Return the totals with messages dropped for their age."""
    return replace(totals, aged=totals.aged + len(rows))


def size_of(rows: Sequence[Row]) -> int:
    """Return the bytes of some messages."""
    return sum(row.size for row in rows)


def samples_of(rows: Sequence[Row]) -> int:
    """Return the samples of some messages."""
    return sum(len(row.labels) for row in rows)
