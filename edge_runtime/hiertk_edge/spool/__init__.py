"""The spool: feature messages on disk until the cloud has acknowledged them."""

from hiertk_edge.spool.records import (
    DEFAULT_MAX_BYTES,
    Cursor,
    SpoolLimits,
    SpoolTotals,
    Stored,
    WhenFull,
)
from hiertk_edge.spool.store import Spool

__all__ = [
    "DEFAULT_MAX_BYTES",
    "Cursor",
    "Spool",
    "SpoolLimits",
    "SpoolTotals",
    "Stored",
    "WhenFull",
]
