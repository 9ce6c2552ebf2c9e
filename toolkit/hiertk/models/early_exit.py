"""What trains on a device: the edge partition with its early exit."""

import torch
from torch import Tensor, nn


class EdgeModel(nn.Module):
    """The edge partition and its early exit: global average pool, linear layer over the slots.

    forward: images (N, 3, S, S) float32 and class bias (class slots,) float32 ->
    logits (N, class slots), features (N, C, H, W). The bias closes slots that have no class.
    bottleneck: so many channels, the first ones, are among the features, None for all of them; the
    exit reads all.
    """

    def __init__(
        self, partition: nn.Module, channels: int, slots: int, bottleneck: int | None = None
    ) -> None:
        super().__init__()
        self.partition = partition
        self.exit = nn.Linear(channels, slots)
        self._bottleneck = bottleneck

    def forward(self, images: Tensor, class_bias: Tensor) -> tuple[Tensor, Tensor]:
        features = self.partition(images)
        pooled = torch.mean(features, dim=(2, 3))
        sent = features if self._bottleneck is None else features[:, : self._bottleneck]
        return self.exit(pooled) + class_bias, sent


def without_dropout(partition: nn.Module) -> nn.Module:
    """Return an edge partition whose step is reproducible: dropout replaced by nothing."""
    for name, module in list(partition.named_modules()):
        if isinstance(module, nn.modules.dropout._DropoutNd):  # noqa: SLF001  # their one base class
            partition.set_submodule(name, nn.Identity())
    return partition
