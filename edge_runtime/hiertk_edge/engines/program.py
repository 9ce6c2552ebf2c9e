"""What runs a step program, whatever the engine."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Program(Protocol):
    """A training step and its inference form as functions of all their state.

    step: images (B, 3, S, S), targets (B, slots), class bias (slots,), parameters, statistics,
    constants -> loss (1,), features (B, C, H, W), logits (B, slots), one gradient per parameter,
    the new value of each statistic. infer: images, class bias, parameters, statistics, constants ->
    features, logits. All are float32; a target row is the label's one-hot vector over the number of
    labelled samples, zero for padding. Results are the caller's: no later call changes them.
    """

    @property
    def batch_size(self) -> int | None:
        """B of every call, None where any number of samples does."""

    def step(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Compute loss, gradients and new statistics. Raises BundleError if the engine fails."""

    def infer(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Compute features and logits. Raises BundleError if the engine fails."""
