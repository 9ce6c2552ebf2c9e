"""The rehearsal memory: labelled images on the device, from their arrival on."""

from hiertk_edge.rehearsal.batches import Wanted
from hiertk_edge.rehearsal.memory import DEFAULT_MAX_BYTES, DEFAULT_MAX_WAITING, RehearsalMemory
from hiertk_edge.rehearsal.record import ClassCounts, MixedBatch

__all__ = [
    "DEFAULT_MAX_BYTES",
    "DEFAULT_MAX_WAITING",
    "ClassCounts",
    "MixedBatch",
    "RehearsalMemory",
    "Wanted",
]
