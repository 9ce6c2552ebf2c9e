"""A network whose steps take milliseconds, so that many faults meet many batches."""

from torch import Tensor, nn


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
        self.blocks = nn.Sequential(Block(3, 16), Block(16, 32), Block(32, 32))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(32, slots)

    def forward(self, image: Tensor) -> Tensor:
        pooled = self.pool(self.blocks(image)).flatten(1)
        logits: Tensor = self.classifier(self.dropout(pooled))
        return logits


def network(num_classes: int) -> nn.Module:
    return Network(num_classes)
