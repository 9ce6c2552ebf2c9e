"""What every separation point costs: parameters, features, operations, memory.

The network is run on shapes alone, piece by piece between neighbouring separation points; both
sides of every cut are sums of pieces.
"""

from dataclasses import dataclass

import torch

from hiertk.models.bottleneck import new_widening
from hiertk.models.cut import Cuttable
from hiertk.models.meter import PieceCosts, measure_piece
from hiertk.models.networks import NetworkSpec, build_without_values, parameter_count
from hiertk.models.points import SeparationPoint


@dataclass(frozen=True)
class PointCosts:
    """One separation point. feature_shape: (C, H, W) of what is sent.

    edge_parameters: with the early exit. FLOPs are of one sample, two for each multiply-add of
    convolutions and matrix products, as torch.utils.flop_counter counts. activation_bytes: what
    the device's step keeps for its backward pass, and the largest value with its gradient.
    """

    point: SeparationPoint
    feature_shape: tuple[int, int, int]
    edge_parameters: int
    cloud_parameters: int
    edge_forward_flops: int
    edge_backward_flops: int
    cloud_forward_flops: int
    cloud_backward_flops: int
    activation_bytes: int

    def sent_bytes(self, bits: int) -> int:
        """Return the bytes of one sample's features, packed and not yet compressed."""
        channels, height, width = self.feature_shape
        return (channels * height * width * bits + 7) // 8


@dataclass(frozen=True)
class NetworkCosts:
    """A network's points. raw_bytes: of one input as 8-bit RGB. batch_size: of activation_bytes."""

    spec: NetworkSpec
    bottleneck: int | None
    batch_size: int
    parameters: int
    raw_bytes: int
    points: tuple[PointCosts, ...]


def network_costs(
    spec: NetworkSpec, *, bottleneck: int | None = None, batch_size: int = 32
) -> NetworkCosts:
    """Return what each separation point costs. Raises ModelError.

    `package.module:factory` is trusted and run. A point whose features are not wider than the
    bottleneck is left out.
    """
    model = build_without_values(spec, trusted_factory=spec.name)
    network = Cuttable(model, spec.input_size, spec.slots)
    shape: tuple[int, ...] = (batch_size, 3, spec.input_size, spec.input_size)
    pieces = []
    for segment in network.segments():
        pieces.append(measure_piece(segment, shape))
        number = len(pieces) - 1
        if number < len(network.points):
            shape = (batch_size, *network.points[number].feature_shape)
    points = [
        _point_costs(point, pieces, bottleneck, batch_size, spec)
        for point in network.narrowed_by(bottleneck)
    ]
    return NetworkCosts(
        spec=spec,
        bottleneck=bottleneck,
        batch_size=batch_size,
        parameters=parameter_count(model),
        raw_bytes=3 * spec.input_size**2,
        points=tuple(points),
    )


def _point_costs(
    point: SeparationPoint,
    pieces: list[PieceCosts],
    bottleneck: int | None,
    batch_size: int,
    spec: NetworkSpec,
) -> PointCosts:
    edge, cloud = list(pieces[: point.number]), list(pieces[point.number :])
    channels, height, width = point.feature_shape
    sent = channels
    if bottleneck is not None:
        sent = bottleneck
        with torch.device("meta"):
            widening = new_widening(sent, channels)
        cloud.insert(0, measure_piece(widening, (batch_size, sent, height, width)))
    slots = spec.slots
    exit_ = (channels + 1) * slots, 2 * channels * slots  # parameters, operations per sample
    return PointCosts(
        point=point,
        feature_shape=(sent, height, width),
        edge_parameters=sum(piece.parameters for piece in edge) + exit_[0],
        cloud_parameters=sum(piece.parameters for piece in cloud),
        edge_forward_flops=_forward(edge) // batch_size + exit_[1],
        edge_backward_flops=_backward(edge) // batch_size + 2 * exit_[1],
        cloud_forward_flops=_forward(cloud) // batch_size,
        cloud_backward_flops=_backward(cloud) // batch_size,
        activation_bytes=sum(piece.kept for piece in edge) + 2 * max(p.largest for p in edge),
    )


def _forward(pieces: list[PieceCosts]) -> int:
    return sum(piece.forward for piece in pieces)


def _backward(pieces: list[PieceCosts]) -> int:
    return pieces[0].first_backward + sum(piece.backward for piece in pieces[1:])
