"""How often each class was trained on of late: what the loss is corrected by."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from hiertk_protocol.messages import SlotArray
from torch import Tensor

from hiertk_cloud.classes.history import NO_CLASS

Counts = npt.NDArray[np.float64]
# Of a count, per step: the newest 10 or so count. More of them lag behind a burst of a new class,
# and the loss makes up for too much: accuracy over all 0.85 with 0.8 to 0.95, 0.82 with 0.99.
_KEPT = 0.9
_LEAST = 1e-9  # a class that was there does not become one that never was


class RecentLabels:
    """Counts that decay with every step. counts: (class slots,) float64."""

    def __init__(self, slots: int) -> None:
        self.counts: Counts = np.zeros(slots)

    def after(self, batches: Iterable[SlotArray]) -> Counts:
        """Return the counts with one more step, on samples of these labels."""
        old = np.where(self.counts > 0, np.maximum(_KEPT * self.counts, _LEAST), 0.0)
        return sum(
            (np.bincount(labels, minlength=len(old)).astype(np.float64) for labels in batches), old
        )

    def keep(self, counts: Counts) -> None:
        """Count that step."""
        self.counts[:] = counts

    def move(self, slots: SlotArray) -> None:
        """Follow the class map: what was counted in slot i belongs to slots[i], or to no class."""
        before = self.counts.copy()
        self.counts[:] = 0
        here = slots != NO_CLASS
        np.add.at(self.counts, slots[here], before[here])

    def is_sound(self) -> bool:
        """Return whether what was read from a file can be such counts."""
        return bool(np.isfinite(self.counts).all() and (self.counts >= 0).all())

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint holds, in the memory that is in use."""
        return {"recent/counts": torch.from_numpy(self.counts)}
