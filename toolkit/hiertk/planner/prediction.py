"""The runtime model over every separation point and number of bits that two profiles know."""

from dataclasses import dataclass, field
from typing import Literal

from hiertk_edge.uplink.window import WindowLimits
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.profile import (
    CloudPoint,
    CloudProfile,
    EdgePoint,
    EdgeProfile,
    Wire,
    step_at,
)

from hiertk.planner.runtime_model import (
    Link,
    cloud_time,
    edge_time,
    full_cloud,
    hierarchical,
    payload_at_compression,
    payload_of,
    reduction_percent,
    split_learning,
)
from hiertk.planner.times import FullCloud, Hierarchical, SplitLearning

Bits = Literal[8, 4]
WHOLE_NETWORK = 0  # its place among a cloud profile's points
_SPLIT_LEARNING_BITS = 32


@dataclass(frozen=True)
class Scenario:
    """Everything that the times depend on.

    replay: earlier messages that join each cloud step.
    compression: packed bytes over compressed ones, None for the bytes that the profile measured.
    split_learning_bits: per value of the features and gradients of split learning.
    """

    edge: EdgeProfile
    cloud: CloudProfile
    link: Link
    batch_size: int
    bits: tuple[Bits, ...] = (8, 4)
    replay: int = 1
    compression: float | None = None
    split_learning_bits: int = _SPLIT_LEARNING_BITS
    window: WindowLimits = field(default_factory=WindowLimits)


@dataclass(frozen=True)
class Prediction:
    """One separation point at some bits.

    feature_bytes: of one sample on the wire. peak_memory_bytes: of the device's whole process.
    reduction_percent: hierarchical in a pipeline below full cloud in a pipeline.
    reduction_alone_percent: one batch alone below one batch alone.
    """

    cut: EdgePoint
    bits: Bits
    feature_bytes: float
    messages: int
    peak_memory_bytes: int
    hierarchical: Hierarchical
    split_learning: SplitLearning
    reduction_percent: float
    reduction_alone_percent: float

    @property
    def seconds(self) -> float:
        """The pipeline's time per batch."""
        return self.hierarchical.pipeline_s


@dataclass(frozen=True)
class Outlook:
    """The predictions of one scenario, by rising separation point, and their baseline."""

    full_cloud: FullCloud
    points: tuple[Prediction, ...]


def predict(scenario: Scenario) -> Outlook:
    """Predict every separation point at every number of bits that both profiles know.

    Raises ConfigError if there is none, or the cloud profile lacks the whole network.
    """
    cloud_points = {point.split: point for point in scenario.cloud.points}
    if WHOLE_NETWORK not in cloud_points:
        raise ConfigError(
            "the cloud profile lacks split 0, the whole network: measure it again with "
            "hiertk profile --role cloud"
        )
    whole = step_at(cloud_points[WHOLE_NETWORK].steps, scenario.batch_size)
    baseline = full_cloud(
        scenario.edge.prepare_ms * scenario.batch_size / 1e3,
        scenario.edge.network.raw_bytes * scenario.batch_size,
        whole,
        scenario.link,
    )
    points = tuple(
        _point(scenario, cut, wire, cloud_points[cut.split], baseline=baseline)
        for cut in scenario.edge.points
        if cut.split in cloud_points
        for wire in cut.wire
        if wire.bits in scenario.bits
    )
    if not points:
        bits = " or ".join(map(str, scenario.bits))
        raise ConfigError(
            f"no separation point at {bits} bits is in both profiles: measure both with "
            "hiertk profile --splits all"
        )
    return Outlook(baseline, points)


def _point(
    scenario: Scenario,
    cut: EdgePoint,
    wire: Wire,
    cloud: CloudPoint,
    *,
    baseline: FullCloud,
) -> Prediction:
    count, link = scenario.batch_size, scenario.link
    if scenario.compression is None:
        payload = payload_of(wire, count)
    else:
        payload = payload_at_compression(cut.packed_bytes(wire.bits) * count, scenario.compression)
    on_device = edge_time(cut, wire, scenario.edge.prepare_ms, count)
    in_cloud = cloud_time(cloud, payload.messages, count, scenario.replay)
    ours = hierarchical(on_device, payload, in_cloud, link, scenario.window)
    without_replay = step_at(cloud.steps, count)
    split_bytes = cut.packed_bytes(scenario.split_learning_bits) * count
    return Prediction(
        cut=cut,
        bits=wire.bits,
        feature_bytes=payload.bytes / count,
        messages=payload.messages,
        peak_memory_bytes=cut.peak_memory_bytes,
        hierarchical=ours,
        split_learning=split_learning(on_device, without_replay, split_bytes, link),
        reduction_percent=reduction_percent(ours.pipeline_s, baseline.pipeline_s),
        reduction_alone_percent=reduction_percent(ours.alone_s, baseline.alone_s),
    )
