"""Training in one process: one edge partition and cloud partitions behind it, or a whole network.

No gradient comes back over the cut, so what the edge partition learns does not depend on the
cloud: several cloud partitions can be trained side by side on one edge partition's features.
"""

import copy
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from hiertk_cloud.training.precision import arithmetic
from hiertk_protocol.codec import encode, quantize
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from hiertk.models import CutSpec, NetworkSpec, Sides, both_sides, open_network
from hiertk.study.accuracy.settings import SENT, CloudWay
from hiertk.study.precision import Precision
from hiertk.training import FullCloudTraining, HierarchicalTraining

WEIGHT_DECAY = 0.0  # as an exported bundle's
_WARM_UP = 0.05  # of the steps: the rate rises, then falls in a line to zero
_REPLAYED = 256  # batches of features that are kept
Labelled = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Schedule:
    """A learning rate over a run of so many steps. precision: of the steps, if in the cloud."""

    rate: float
    steps: int
    precision: Precision = "float32"

    def apply(self, optimizer: Optimizer, step: int) -> None:
        """Set the rate of a step, counted from 0."""
        done = step / self.steps
        factor = min(1.0, (step + 1) / (_WARM_UP * self.steps)) * (1 - done)
        for group in optimizer.param_groups:
            group["lr"] = self.rate * factor


class FullRun:
    """Full-cloud training: the whole network from its final exit."""

    def __init__(
        self, spec: NetworkSpec, schedule: Schedule, device: torch.device, seed: int
    ) -> None:
        torch.manual_seed(seed)
        model = open_network(spec).model.to(device)
        self._schedule = schedule
        self._training = FullCloudTraining(model, _adamw(model), _no_bias(spec, device))

    def step(self, number: int, batch: Labelled) -> None:
        """Train on one batch."""
        self._schedule.apply(self._training.optimizer, number)
        with arithmetic(self._schedule.precision, batch[1].device.type):
            self._training.step(*batch)

    def evaluate(self, batches: Iterable[Labelled]) -> float:
        """Return the share of right predictions."""
        return self._training.evaluate(batches)


@dataclass(frozen=True)
class _Cloud:
    """One cloud partition with the codec before it, and the features it has seen."""

    way: CloudWay
    training: HierarchicalTraining
    schedule: Schedule
    seen: deque[Labelled]
    random: np.random.Generator

    def step(self, number: int, features: Tensor, labels: Tensor) -> None:
        self.schedule.apply(self.training.cloud_optimizer, number)
        sent = self.training.send(features)
        if self.way.replays:
            known = self.seen[self.random.integers(len(self.seen))] if self.seen else None
            self.seen.append((sent, labels))
            if known is not None:
                sent, labels = torch.cat([sent, known[0]]), torch.cat([labels, known[1]])
        with arithmetic(self.schedule.precision, labels.device.type):
            self.training.cloud_step(sent, labels)


@dataclass(frozen=True)
class Shares:
    """Shares of right predictions: of the early exit, and of each cloud partition's final exit."""

    early: float
    finals: tuple[float, ...]


class HierarchicalRun:
    """Hierarchical training of one edge partition, with cloud partitions side by side."""

    def __init__(
        self,
        cut: CutSpec,
        clouds: Sequence[tuple[CloudWay, Schedule]],
        edge: Schedule,
        *,
        device: torch.device,
        seed: int,
        larger: NetworkSpec | None = None,
    ) -> None:
        torch.manual_seed(seed)
        sides = both_sides(open_network(cut.network), cut)
        self._edge = sides.edge.to(device)
        self._optimizer = _adamw(self._edge)
        self._schedule = edge
        self._bias = _no_bias(cut.network, device)
        self._training = self._behind(sides.cloud, SENT)  # for its edge step
        self._clouds = []
        for way, schedule in clouds:
            module = _larger_cloud(sides, larger) if way.is_larger and larger else sides.cloud
            self._clouds.append(self._cloud(way, module, schedule, seed))

    def step(self, number: int, batch: Labelled) -> None:
        """Train the edge partition on one batch, and every cloud partition on its features."""
        images, labels = batch
        self._schedule.apply(self._optimizer, number)
        _, features = self._training.edge_step(images, labels)
        for cloud in self._clouds:
            cloud.step(number, features, labels)

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Labelled]) -> Shares:
        """Measure all exits with running statistics."""
        self._edge.eval()
        for cloud in self._clouds:
            cloud.training.cloud.eval()
        right = np.zeros(1 + len(self._clouds))
        count = 0
        for images, labels in batches:
            early, features = self._edge(images, self._bias)
            finals = [one.training.cloud(one.training.send(features)) for one in self._clouds]
            right += [int((one.argmax(1) == labels).sum()) for one in (early, *finals)]
            count += len(labels)
        early_share, *finals = (right / count).tolist()
        return Shares(early_share, tuple(finals))

    @torch.no_grad()
    def sent_bytes(self, images: Tensor) -> float:
        """Return the compressed bytes of one sample's features at 4 bits."""
        self._edge.eval()
        _, features = self._edge(images, self._bias)
        assert SENT.bits is not None
        size: int = encode(quantize(features.cpu().numpy(), SENT.bits)).ByteSize()
        return size / len(images)

    def _cloud(self, way: CloudWay, module: nn.Module, schedule: Schedule, seed: int) -> _Cloud:
        training = self._behind(copy.deepcopy(module).to(self._bias.device), way)
        random = np.random.default_rng((seed, 1))
        own = replace(schedule, rate=way.times * schedule.rate)
        return _Cloud(way, training, own, deque(maxlen=_REPLAYED), random)

    def _behind(self, cloud: nn.Module, way: CloudWay) -> HierarchicalTraining:
        optimizer = _sgd(cloud) if way.is_sgd else _adamw(cloud)
        return HierarchicalTraining(
            self._edge, cloud, self._optimizer, optimizer, self._bias, way.bits
        )


def _larger_cloud(sides: Sides, larger: NetworkSpec) -> nn.Module:
    """Return a deeper network's layers behind the first point with features of the same shape."""
    network = open_network(larger)
    points = [one for one in network.points if one.feature_shape == sides.feature_shape]
    return network.cut(points[0].number).cloud if points else sides.cloud


def _adamw(module: nn.Module) -> AdamW:
    return AdamW(module.parameters(), weight_decay=WEIGHT_DECAY, fused=True)


def _sgd(module: nn.Module) -> SGD:
    return SGD(module.parameters(), momentum=0.9, weight_decay=WEIGHT_DECAY, fused=True)


def _no_bias(spec: NetworkSpec, device: torch.device) -> Tensor:
    """All slots have a class here."""
    return torch.zeros(spec.slots, device=device)
