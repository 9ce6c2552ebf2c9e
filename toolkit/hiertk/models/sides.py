"""The two sides of a deployment: what trains on devices, and what trains in the cloud."""

from dataclasses import dataclass

from torch import nn

from hiertk.models.bottleneck import widened
from hiertk.models.cut import Cuttable
from hiertk.models.early_exit import EdgeModel, without_dropout
from hiertk.models.networks import NetworkSpec, build


@dataclass(frozen=True)
class CutSpec:
    """Where a network is cut, from 1, and to how many channels the features are narrowed."""

    network: NetworkSpec
    split: int
    bottleneck: int | None = None


@dataclass(frozen=True)
class Sides:
    """Both sides. feature_shape: (C, H, W) of what is sent.

    edge: with its early exit. cloud: features -> logits (N, class slots).
    """

    edge: EdgeModel
    cloud: nn.Module
    feature_shape: tuple[int, int, int]


def open_network(spec: NetworkSpec, *, trusted_factory: str | None = None) -> Cuttable:
    """Build a network and find its separation points. Raises ModelError."""
    model = build(spec, trusted_factory=trusted_factory)
    return Cuttable(model, spec.input_size, spec.slots)


def both_sides(network: Cuttable, spec: CutSpec) -> Sides:
    """Cut a network and put the early exit, and the bottleneck if there is one, in place.

    Raises ModelError.
    """
    partitions = network.cut(spec.split)
    channels, height, width = network.point(spec.split).feature_shape
    sent = channels if spec.bottleneck is None else spec.bottleneck
    edge = EdgeModel(without_dropout(partitions.edge), channels, spec.network.slots, sent)
    cloud: nn.Module = partitions.cloud
    if spec.bottleneck is not None:
        cloud = widened(cloud, sent, channels)
    return Sides(edge, cloud, (sent, height, width))
