"""What trains on a device: the edge partition with its early exit."""

import torch
from torch import Tensor, nn


class EdgeModel(nn.Module):
    """The edge partition and its early exit: global average pool, linear layer over the slots.

    forward: images (N, 3, S, S) float32 and class bias (class slots,) float32 ->
    logits (N, class slots), features (N, sent, H, W). The bias closes slots that have no class.
    sent: so many of the partition's channels, the first ones; the exit reads all.
    """

    def __init__(self, partition: nn.Module, channels: int, slots: int, sent: int) -> None:
        super().__init__()
        self.partition = partition
        self.exit = nn.Linear(channels, slots)
        self._sent = sent

    def forward(self, images: Tensor, class_bias: Tensor) -> tuple[Tensor, Tensor]:
        features = self.partition(images)
        logits = self.exit(torch.mean(features, dim=(2, 3))) + class_bias
        if self._sent < features.shape[1]:
            features = features[:, : self._sent].contiguous()
        return logits, features


def without_dropout(partition: nn.Module) -> nn.Module:
    """Return an edge partition whose step is reproducible: dropout replaced by nothing."""
    for name, module in list(partition.named_modules()):
        if isinstance(module, nn.modules.dropout._DropoutNd):  # noqa: SLF001  # their one base class
            partition.set_submodule(name, nn.Identity())
    return partition
