"""A small network whose cloud partition stands still for as long as a file is there."""

import time
from pathlib import Path
from typing import Any

from torch import Tensor, nn

FILE = Path("/run/hiertk-hang")


class Block(nn.Module):
    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1)
        self.normalization = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.relu(self.normalization(self.convolution(image)))
        return features


class Network(nn.Module):
    def __init__(self, slots: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(3, 8), Block(8, 8), Block(8, 16))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(16, slots)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.pool(self.blocks(image)).flatten(1))
        return logits


def network(num_classes: int) -> nn.Module:
    model = Network(num_classes)
    # A hook, not the forward: that is traced once, and what is recorded of it has no files.
    model.pool.register_forward_pre_hook(_hang)
    return model


def _hang(_module: nn.Module, _inputs: Any) -> None:
    while FILE.exists():
        time.sleep(0.05)
