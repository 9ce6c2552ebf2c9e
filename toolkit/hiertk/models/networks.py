"""The networks by name: how each is built, and after which modules it can be cut."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torchvision
from hiertk_protocol.errors import ModelError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

Stem = Literal["torchvision", "3x3"]
COMPACT_BELOW = 224  # VGG's own classifier expects 7x7 maps, which smaller inputs do not give
_COMPACT_WIDTH = 512
_HEADS = ("fc.", "classifier.")


@dataclass(frozen=True)
class NetworkSpec:
    """Everything that determines a network's modules.

    slots: outputs of the final exit. input_size: height and width of the input, pixels.
    """

    name: str
    slots: int
    input_size: int
    stem: Stem = "torchvision"


@dataclass(frozen=True)
class Network:
    """How a named network is built and cut.

    build: makes the module. points: names of the modules after which it can be cut, in order.
    stride: input pixels per feature pixel at the end, by stem; a smaller input vanishes.
    """

    build: Callable[[NetworkSpec], nn.Module]
    points: Callable[[nn.Module], list[str]]
    stride: dict[Stem, int]


def build(spec: NetworkSpec) -> nn.Module:
    """Build a network with fresh weights from torch's global random state.

    Raises ModelError for an unknown name or stem, or an input too small for it.
    """
    network = _network(spec.name)
    if spec.stem not in network.stride:
        raise ModelError(
            f"{spec.name} has no {spec.stem} stem: choose from {', '.join(network.stride)}"
        )
    smallest = network.stride[spec.stem]
    if spec.input_size < smallest:
        raise ModelError(
            f"{spec.name} with the {spec.stem} stem needs inputs of at least {smallest} pixels, "
            f"not {spec.input_size}"
        )
    return network.build(spec)


def separation_points(name: str, model: nn.Module) -> list[str]:
    """Return the modules after which a network can be cut; point k is the k-th, from 1."""
    return _network(name).points(model)


def separation_point(name: str, model: nn.Module, split: int) -> str:
    """Return the module after which separation point `split` lies. Raises ModelError."""
    points = separation_points(name, model)
    if not 1 <= split <= len(points):
        raise ModelError(f"{name} has separation points 1 to {len(points)}, not {split}")
    return points[split - 1]


def load_weights(model: nn.Module, path: Path) -> list[str]:
    """Load a safetensors file of the whole network; return what was left as it was built.

    Only a classifier of another width may be left, so that weights of another class count serve.
    Raises ModelError if names or other shapes differ.
    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} is not a safetensors file: {error}") from error
    own = model.state_dict()
    kept = [
        name
        for name, tensor in own.items()
        if name.startswith(_HEADS) and name in weights and weights[name].shape != tensor.shape
    ]
    for name in kept:
        del weights[name]
    for name in own:
        if name.endswith("num_batches_tracked"):
            weights.setdefault(name, own[name])
    missing = sorted(own.keys() - weights.keys() - set(kept))
    unknown = sorted(weights.keys() - own.keys())
    if missing or unknown:
        raise ModelError(
            f"{path} is of another network: it lacks {len(missing)} tensors {missing[:3]} "
            f"and has {len(unknown)} unknown ones {unknown[:3]}"
        )
    for name, tensor in weights.items():
        if tensor.shape != own[name].shape:
            raise ModelError(
                f"{path}: {name} has shape {tuple(tensor.shape)}, the network's is "
                f"{tuple(own[name].shape)}"
            )
    model.load_state_dict(weights, strict=False)
    return kept


def _network(name: str) -> Network:
    if name not in NETWORKS:
        raise ModelError(f"unknown network {name!r}: choose from {', '.join(NETWORKS)}")
    return NETWORKS[name]


def _build_resnet18(spec: NetworkSpec) -> nn.Module:
    model: nn.Module = torchvision.models.resnet18(num_classes=spec.slots)
    if spec.stem == "3x3":
        model.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
        model.maxpool = nn.Identity()
    return model


def _residual_blocks(model: nn.Module) -> list[str]:
    return [
        f"{stage}.{block}"
        for stage in ("layer1", "layer2", "layer3", "layer4")
        for block, _ in model.get_submodule(stage).named_children()
    ]


def _build_vgg16(spec: NetworkSpec) -> nn.Module:
    model: nn.Module = torchvision.models.vgg16(num_classes=spec.slots)
    if spec.input_size < COMPACT_BELOW:
        model.avgpool = nn.AdaptiveAvgPool2d(1)
        model.classifier = nn.Sequential(
            nn.Linear(512, _COMPACT_WIDTH),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(_COMPACT_WIDTH, spec.slots),
        )
    return model


def _convolutions_with_pool(model: nn.Module) -> list[str]:
    """Name the last module of each group: convolution, activation, and the pool if one follows."""
    layers = list(model.get_submodule("features").named_children())
    starts = [index for index, (_, layer) in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    ends = [*starts[1:], len(layers)]
    return [f"features.{layers[end - 1][0]}" for end in ends]


NETWORKS: dict[str, Network] = {
    "resnet18": Network(_build_resnet18, _residual_blocks, {"torchvision": 32, "3x3": 8}),
    "vgg16": Network(_build_vgg16, _convolutions_with_pool, {"torchvision": 32}),
}


def parameter_count(module: nn.Module) -> int:
    """Return how many trainable values a module holds."""
    return sum(parameter.numel() for parameter in module.parameters())


def feature_shape(partition: nn.Module, input_size: int) -> tuple[int, int, int]:
    """Return (C, H, W) of an edge partition's output for a square RGB input."""
    training = partition.training
    partition.eval()
    with torch.no_grad():
        features = partition(torch.zeros(1, 3, input_size, input_size))
    partition.train(training)
    channels, height, width = features.shape[1:]
    return channels, height, width
