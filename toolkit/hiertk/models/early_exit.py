"""What trains on a device: the edge partition with its early exit."""

import torch
from torch import Tensor, nn


class EdgeModel(nn.Module):
    """The edge partition and its early exit: global average pool, linear layer over the slots.

    forward: images (N, 3, S, S) float32 and class bias (class slots,) float32 ->
    logits (N, class slots), features (N, C, H, W). The bias closes slots that have no class.
    narrowing: what becomes of the partition's output before it is sent; the exit reads the output.
    """

    def __init__(self, partition: nn.Module, channels: int, slots: int) -> None:
        super().__init__()
        self.partition = partition
        self.exit = nn.Linear(channels, slots)
        self.narrowing: nn.Module | None = None

    def forward(self, images: Tensor, class_bias: Tensor) -> tuple[Tensor, Tensor]:
        features = self.partition(images)
        logits = self.exit(torch.mean(features, dim=(2, 3))) + class_bias
        return logits, features if self.narrowing is None else self.narrowing(features)


def without_dropout(partition: nn.Module) -> nn.Module:
    """Return an edge partition whose step is reproducible: dropout replaced by nothing."""
    for name, module in list(partition.named_modules()):
        if isinstance(module, nn.modules.dropout._DropoutNd):  # noqa: SLF001  # their one base class
            partition.set_submodule(name, nn.Identity())
    return partition
