"""Which class slots of the final exit are open: what is added to its logits, and their rows."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

import torch
from hiertk_protocol.manifest import Manifest, class_bias
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from hiertk_cloud.training.exit_rows import ExitRows, find_final_layer

_SEED_STRIDE = 1 << 32


class OpenSlots:
    """Opens and closes slots. bias: (class slots,) float32, 0 where one is open.

    Where the network ends with a linear layer, a slot is opened with a row that is imprinted, and a
    closed one gets a row as if it had never been trained. Where it does not, what produces the
    logits stays as it is.
    """

    def __init__(
        self,
        module: nn.Module,
        average: AveragedModel,
        optimizer: torch.optim.Optimizer,
        manifest: Manifest,
    ) -> None:
        self._module = module
        self._average = average
        self._optimizer = optimizer
        self._shape = manifest.features.shape
        self._capacity = manifest.classes.capacity
        self.set(range(len(manifest.classes.names)))

    @property
    def now(self) -> tuple[int, ...]:
        """The open slots, in order."""
        return self._now

    def set(self, slots: Iterable[int]) -> None:
        """Open these and close all others, with the rows as they are."""
        self._now = tuple(sorted(slots))
        self.bias = torch.from_numpy(class_bias(self._now, self._capacity))

    def open(self, features: Tensor, labels: Tensor, *, imprint: bool) -> Callable[[], None]:
        """Open the slots of these samples that are not open; return what undoes it.

        features: (N, C, H, W) float32; labels: (N,) int64.
        """
        before = self._now
        new = sorted(set(labels.tolist()).difference(before))
        if not new:
            return _nothing
        self.set((*before, *new))
        if self._rows is None or not imprint:
            return lambda: self.set(before)
        rows, old = self._rows, self._rows.copy(new)
        rows.imprint(features, labels, new, before)

        def undo() -> None:
            rows.put_back(new, old)
            self.set(before)

        return undo

    def close(self, slots: Sequence[int], seed: int) -> None:
        """Close these slots, and let their rows forget. seed: of what the rows are drawn from."""
        gone = set(slots).intersection(self._now)
        self.set(set(self._now) - gone)
        for slot in sorted(gone):
            if self._rows is not None:
                self._rows.renew(slot, seed * _SEED_STRIDE + slot)

    @cached_property
    def _rows(self) -> ExitRows | None:
        name = find_final_layer(self._module, torch.zeros(1, *self._shape))
        if name is None:
            return None
        return ExitRows(self._module, self._average, self._optimizer, name)


def _nothing() -> None:
    """Undo nothing."""
