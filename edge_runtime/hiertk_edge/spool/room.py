"""Making room in a full spool by its policy, message by message; the caller holds a transaction."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from google.protobuf.message import DecodeError
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import FeatureBatch

from hiertk_edge.spool.counts import with_dropped, without
from hiertk_edge.spool.policy import FEW_BITS, classes_of, samples_to_keep, thinning_of
from hiertk_edge.spool.records import Row, SpoolTotals, WhenFull
from hiertk_edge.spool.rewriting import requantize, thin
from hiertk_edge.spool.rows import Rows, row_of

_FULL_BITS = 8


class Room:
    """Takes from the messages held what the policy says, and keeps count of their classes."""

    def __init__(self, rows: Rows, when_full: WhenFull) -> None:
        self._rows = rows
        self._take_some = {
            "drop-oldest": self._drop_oldest,
            "drop-newest": self._drop_oldest,  # by then the newest have not been stored
            "thin-out": self._thin_out,
            "fewer-bits": self._reduce_bits,
        }[when_full]
        # Of the whole spool, by class slot; counted once thinning needs it, and then kept right.
        self._classes: Counter[int] | None = None

    def make(self, totals: SpoolTotals, excess: int) -> SpoolTotals:
        """Free `excess` bytes or all that is held, and return the totals of then."""
        goal = totals.held_bytes - excess
        while totals.held and totals.held_bytes > goal:
            totals = self._take_some(totals)
        return totals

    def came(self, rows: Sequence[Row]) -> None:
        """Note messages that were stored."""
        if self._classes is not None:
            self._classes.update(classes_of(rows))

    def went(self, rows: Sequence[Row]) -> None:
        """Note messages that were deleted."""
        if self._classes is not None:
            self._classes.subtract(classes_of(rows))

    def forget(self) -> None:
        """Count anew when it is needed: the transaction was undone."""
        self._classes = None

    def _drop_oldest(self, totals: SpoolTotals) -> SpoolTotals:
        oldest = self._rows.next_after(0)
        if oldest is None:  # whatever the counts say
            return replace(totals, held=0, held_bytes=0)
        return self._drop(oldest, totals)

    def _thin_out(self, totals: SpoolTotals) -> SpoolTotals:
        row = self._rows.least_thinned()
        if row is None:
            return self._drop_oldest(totals)
        thinning = thinning_of(row, self._rows.newest_evaluation() if row.held_out else 0)
        if thinning == "drop":
            return self._drop(row, totals)
        if thinning == "pass over":
            self._rows.mark_thinned(row)
            return totals
        keep = samples_to_keep(row.labels, self._held_classes())
        return self._rewrite(row, totals, lambda message: thin(message, keep))

    def _reduce_bits(self, totals: SpoolTotals) -> SpoolTotals:
        row = self._rows.oldest_of_bits(_FULL_BITS)
        if row is None:
            return self._drop_oldest(totals)
        return self._rewrite(row, totals, lambda message: requantize(message, FEW_BITS))

    def _rewrite(
        self, row: Row, totals: SpoolTotals, rewritten: Callable[[FeatureBatch], FeatureBatch]
    ) -> SpoolTotals:
        held = self._rows.message(row.seq)
        try:
            message = None if held is None else rewritten(FeatureBatch.FromString(held))
        except (DecodeError, UnicodeDecodeError, ProtocolError):
            message = None
        if message is None:
            self._delete(row)
            return replace(without(totals, [row]), damaged=totals.damaged + 1)
        data = message.SerializeToString()
        smaller = row_of(message, len(data), row.stored_at, row.thinned + 1)
        self._rows.replace(smaller, data)
        self.went([row])
        self.came([smaller])
        return replace(
            totals,
            held_bytes=totals.held_bytes - row.size + smaller.size,
            thinned=totals.thinned + len(row.labels) - len(smaller.labels),
            requantized=totals.requantized + (smaller.bits != row.bits),
        )

    def _drop(self, row: Row, totals: SpoolTotals) -> SpoolTotals:
        self._delete(row)
        return with_dropped(without(totals, [row]), 1, len(row.labels))

    def _delete(self, row: Row) -> None:
        self._rows.delete([row.seq])
        self.went([row])

    def _held_classes(self) -> Counter[int]:
        if self._classes is None:
            self._classes = Counter()
            for row in self._rows.all():
                self._classes.update(row.labels)
        return self._classes
