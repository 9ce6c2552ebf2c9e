"""The early exit: global average pool and a linear layer over the class slots."""

import torch
from torch import Tensor, nn


class EdgeModel(nn.Module):
    """What trains on a device: the edge partition with its early exit.

    forward: images (N, 3, S, S) float32 and class bias (class slots,) float32 ->
    logits (N, class slots), features (N, C, H, W). The bias closes slots that have no class.
    """

    def __init__(self, partition: nn.Module, channels: int, slots: int) -> None:
        super().__init__()
        self.partition = partition
        self.exit = nn.Linear(channels, slots)

    def forward(self, images: Tensor, class_bias: Tensor) -> tuple[Tensor, Tensor]:
        features = self.partition(images)
        pooled = torch.mean(features, dim=(2, 3))
        return self.exit(pooled) + class_bias, features
