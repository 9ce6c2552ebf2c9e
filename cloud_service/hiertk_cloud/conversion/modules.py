"""The modules that files are made of: the cloud partition alone, and both partitions in one."""

import torch
from hiertk.models import CutSpec, EdgeModel, NetworkSpec, Sides, both_sides, open_network
from hiertk_protocol.manifest import ClassInfo, Manifest
from torch import Tensor, nn


def rebuild_sides(manifest: Manifest, *, trusted_factory: str | None) -> Sides:
    """Build both partitions of a bundle's network with fresh weights. Raises ModelError."""
    model = manifest.model
    network = NetworkSpec(
        name=model.name,
        slots=manifest.classes.capacity,
        input_size=manifest.input.size,
        stem=model.stem,
        normalization=model.normalization,
    )
    cuttable = open_network(network, trusted_factory=trusted_factory)
    return both_sides(cuttable, CutSpec(network, model.split, model.bottleneck))


class CloudModel(nn.Module):
    """The cloud partition as it predicts.

    forward: features (N, C, H, W) float32 -> the final exit's logits (N, class slots) float32, with
    the class bias, so that a slot without a class is never the largest.
    """

    class_bias: Tensor

    def __init__(self, cloud: nn.Module, classes: ClassInfo) -> None:
        super().__init__()
        self.cloud = cloud
        self.register_buffer("class_bias", torch.from_numpy(classes.bias()), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.cloud(features) + self.class_bias
        return logits


class MergedModel(nn.Module):
    """Edge partition, early exit and cloud partition as one network; nothing is quantized.

    forward: images (N, 3, S, S) float32 -> the final exit's and the early exit's logits, each
    (N, class slots) float32 with the class bias.
    """

    class_bias: Tensor

    def __init__(self, edge: EdgeModel, cloud: nn.Module, classes: ClassInfo) -> None:
        super().__init__()
        self.edge = edge
        self.cloud = cloud
        self.register_buffer("class_bias", torch.from_numpy(classes.bias()), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        early_exit, features = self.edge(images, self.class_bias)
        return self.cloud(features) + self.class_bias, early_exit
