"""The reference: two losses, two optimizers, and no gradient across the cut."""

import copy

import pytest
import torch
from hiertk.data import load
from hiertk.models import NetworkSpec, build
from hiertk.training import FullCloudTraining, HierarchicalTraining
from hiertk_protocol.manifest import ClassInfo, InputInfo
from networks import resnet18_sides
from torch import Tensor, nn

INFO = InputInfo(size=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
BIAS = torch.from_numpy(ClassInfo(names=tuple("abcdefghij"), capacity=16).bias())


def images(count: int) -> tuple[Tensor, Tensor]:
    return load("fashion-mnist-mini", "train").tensors(range(count), INFO)


def hierarchical(bits: int | None = None) -> HierarchicalTraining:
    sides = resnet18_sides(1)
    return HierarchicalTraining(
        sides.edge,
        sides.cloud,
        torch.optim.AdamW(sides.edge.parameters(), 1e-3, weight_decay=0),
        torch.optim.AdamW(sides.cloud.parameters(), 1e-3, weight_decay=0),
        BIAS,
        bits,
    )


def weights(module: nn.Module) -> list[Tensor]:
    return [value.detach().clone() for value in module.parameters()]


def test_no_gradient_crosses_the_cut() -> None:
    """The edge moves the same whatever the cloud does, and not at all without its exit."""
    inputs, labels = images(16)
    alone, together = hierarchical(), hierarchical()
    alone.edge_step(inputs, labels)
    together.step(inputs, labels)
    assert all(map(torch.equal, weights(alone.edge), weights(together.edge)))

    before = weights(together.edge)
    _, features = together.edge_step(inputs, labels)
    assert not features.requires_grad
    after_exit = weights(together.edge)
    assert not all(map(torch.equal, before, after_exit))
    together.edge_optimizer.zero_grad()
    together.cloud_step(features, labels)
    assert all(value.grad is None for value in together.edge.parameters())
    assert all(map(torch.equal, after_exit, weights(together.edge)))


def test_each_side_learns_from_its_own_loss() -> None:
    training = hierarchical(bits=4)
    inputs, labels = images(32)
    losses = [training.step(inputs, labels) for _ in range(8)]
    assert losses[-1].early < 0.7 * losses[0].early
    assert losses[-1].final < 0.7 * losses[0].final


def test_closed_slots_get_no_gradient() -> None:
    training = hierarchical()
    before = training.edge.exit.weight.detach().clone()
    training.step(*images(32))
    moved = (training.edge.exit.weight != before).any(dim=1)
    assert moved[:10].all()
    assert not moved[10:].any()


@pytest.mark.parametrize("bits", [8, 4])
def test_the_codec_stands_between_edge_and_cloud(bits: int) -> None:
    training = hierarchical(bits)
    _, features = training.edge_step(*images(8))
    sent = training.send(features)
    assert sent.shape == features.shape
    levels = [len(torch.unique(sent[:, channel])) for channel in range(sent.shape[1])]
    assert 1 < max(levels) <= 2**bits


def test_evaluation_counts_both_exits_and_changes_nothing() -> None:
    training = hierarchical(bits=8)
    inputs, labels = images(64)
    for _ in range(12):
        training.step(inputs, labels)
    before = copy.deepcopy(training.edge.state_dict())
    first = training.evaluate([(inputs[:40], labels[:40]), (inputs[40:], labels[40:])])
    assert first == training.evaluate([(inputs, labels)])
    assert 0.2 < first.final <= 1
    assert all(
        torch.equal(value, before[name]) for name, value in training.edge.state_dict().items()
    )


def test_full_cloud_training_learns() -> None:
    torch.manual_seed(0)
    model = build(NetworkSpec("resnet18", 16, 32))
    training = FullCloudTraining(model, torch.optim.AdamW(model.parameters(), 1e-3), BIAS)
    inputs, labels = images(32)
    losses = [training.step(inputs, labels) for _ in range(8)]
    assert losses[-1] < 0.7 * losses[0]
    assert 0 <= training.evaluate([(inputs, labels)]) <= 1
