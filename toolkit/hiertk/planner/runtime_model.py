"""The runtime model: how long a batch takes in each way of training. Pure functions, no figures.

The model is ours, after the paper's execution order (Sepehri et al., 2024, whose own equations are
not known to us); energy is left out. All times are seconds per batch of n samples:

    T_up(b)    = 8 b / (uplink rate * efficiency)      T_down(b) likewise; one way adds rtt / 2

    full cloud, alone        = rtt / 2 + T_up(raw) + T_cloud
    full cloud, pipeline     = max(T_prepare, T_up(raw), T_cloud)
    split learning           = T_forward + rtt / 2 + T_up(features) + T_cloud
                               + rtt / 2 + T_down(gradients) + T_backward + T_optimizer
    hierarchical, alone      = T_forward + max(T_backward + T_optimizer,
                                               T_handover + rtt / 2 + T_up(messages) + T_cloud)
    hierarchical, pipeline   = max(T_prepare + T_forward + T_backward + T_optimizer + T_handover,
                                   T_up(messages), T_window, T_cloud)

T_forward, T_backward and T_optimizer are the edge's. T_cloud is one optimizer step of what the
cloud trains; for hierarchical training it is, for each of the batch's messages, its receipt and one
step on its samples and the replayed ones. T_window = rtt * max(messages / 32, bytes / 1 MiB) is how
long the acknowledgements hold the uplink back. Split learning has no pipeline: the next forward
pass needs the parameters that the gradient updates.
"""

import math
from dataclasses import dataclass

from hiertk_edge.uplink.window import WindowLimits
from hiertk_protocol.messages import MAX_MESSAGE_BYTES
from hiertk_protocol.profile import CloudPoint, EdgePoint, StepTime, Wire, step_at

from hiertk.planner.times import (
    CloudTime,
    EdgeTime,
    FullCloud,
    Hierarchical,
    LinkTime,
    SplitLearning,
)

# Measured over Linux's tbf, headers and bursts included: 1.05 of 1.1, 5.6 of 5.85 and 17.8 of
# 18.88 Mbit/s.
DEFAULT_EFFICIENCY = 0.95


@dataclass(frozen=True)
class Link:
    """Line rates and the time there and back. efficiency: share of the rate that payload gets."""

    up_bits_per_s: float
    down_bits_per_s: float
    round_trip_s: float = 0.0
    efficiency: float = DEFAULT_EFFICIENCY

    @property
    def one_way_s(self) -> float:
        """How long the first bit is on its way."""
        return self.round_trip_s / 2

    def up_s(self, size: float) -> float:
        """Return how long `size` bytes keep the uplink busy."""
        return 8 * size / (self.up_bits_per_s * self.efficiency)

    def down_s(self, size: float) -> float:
        """Return how long `size` bytes keep the downlink busy."""
        return 8 * size / (self.down_bits_per_s * self.efficiency)


@dataclass(frozen=True)
class Payload:
    """What a batch's features are on the wire. bytes: of all its messages together."""

    bytes: float
    messages: int


def payload_of(wire: Wire, batch_size: int) -> Payload:
    """Return a batch's features on the wire, as measured; bytes grow with the samples."""
    if batch_size == wire.samples:
        return Payload(wire.bytes, wire.messages)
    return _payload(wire.bytes * batch_size / wire.samples)


def payload_at_compression(packed_bytes: float, ratio: float) -> Payload:
    """Return a batch's features on the wire if packing is followed by a given compression."""
    return _payload(packed_bytes / ratio)


def edge_time(point: EdgePoint, wire: Wire, prepare_ms: float, batch_size: int) -> EdgeTime:
    """Return what the device does for a batch. prepare_ms: of one image."""
    step = step_at(point.steps, batch_size)
    return EdgeTime(
        prepare_s=prepare_ms * batch_size / 1e3,
        forward_s=step.forward_ms / 1e3,
        backward_s=step.backward_ms / 1e3,
        optimizer_s=step.optimizer_ms / 1e3,
        handover_s=wire.handover_ms * batch_size / wire.samples / 1e3,
    )


def cloud_time(point: CloudPoint, messages: int, batch_size: int, replay: int) -> CloudTime:
    """Return what the cloud does for a batch in so many messages.

    It takes one step for each message, over its samples and those of `replay` earlier messages.
    """
    step = step_at(point.steps, batch_size / messages * (1 + replay))
    return CloudTime(
        receive_s=messages * point.receive_ms / 1e3,
        forward_s=messages * step.forward_ms / 1e3,
        backward_s=messages * step.backward_ms / 1e3,
        optimizer_s=messages * step.optimizer_ms / 1e3,
    )


def full_cloud(prepare_s: float, raw_bytes: float, cloud: StepTime, link: Link) -> FullCloud:
    """Return the times of training the whole network in the cloud.

    raw_bytes: of the batch. cloud: one step of the whole network on it. Neither acknowledgements
    nor receipt are counted, in favor of this baseline.
    """
    parts = {
        "prepare": prepare_s,
        "link": link.up_s(raw_bytes),
        "cloud": cloud.total_ms / 1e3,
    }
    return FullCloud(
        prepare_s=prepare_s,
        transfer_s=parts["link"],
        cloud_s=parts["cloud"],
        alone_s=link.one_way_s + parts["link"] + parts["cloud"],
        pipeline_s=max(parts.values()),
        slowest=_slowest(parts),
    )


def split_learning(
    edge: EdgeTime, cloud: StepTime, feature_bytes: float, link: Link
) -> SplitLearning:
    """Return the times of split learning at the same separation point.

    feature_bytes: of the batch, at the bits of split learning; its gradients take as many.
    """
    return SplitLearning(
        forward_s=edge.forward_s,
        up_s=link.one_way_s + link.up_s(feature_bytes),
        cloud_s=cloud.total_ms / 1e3,
        down_s=link.one_way_s + link.down_s(feature_bytes),
        update_s=edge.update_s,
    )


def hierarchical(
    edge: EdgeTime, payload: Payload, cloud: CloudTime, link: Link, window: WindowLimits
) -> Hierarchical:
    """Return the times of hierarchical training: one batch alone, and batches in a pipeline."""
    transfer_s = link.up_s(payload.bytes)
    share = max(payload.messages / window.messages, payload.bytes / window.bytes)
    link_time = LinkTime(transfer_s=transfer_s, window_s=link.round_trip_s * share)
    remote_s = edge.handover_s + link.one_way_s + transfer_s + cloud.busy_s
    parts = {"edge": edge.busy_s, "link": link_time.busy_s, "cloud": cloud.busy_s}
    return Hierarchical(
        edge=edge,
        link=link_time,
        cloud=cloud,
        alone_s=edge.forward_s + max(edge.update_s, remote_s),
        pipeline_s=max(parts.values()),
        slowest=_slowest(parts),
    )


def reduction_percent(seconds: float, baseline_s: float) -> float:
    """Return by how much a time is below the baseline, percent; negative if it is above."""
    return 100 * (1 - seconds / baseline_s)


def _payload(size: float) -> Payload:
    return Payload(size, max(1, math.ceil(size / MAX_MESSAGE_BYTES)))


def _slowest(parts: dict[str, float]) -> str:
    return max(parts, key=lambda name: parts[name])
