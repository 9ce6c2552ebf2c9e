"""Runs of the study of accuracy: one edge partition with several clouds, and a whole network."""

from typing import get_args

import pytest
import torch
from hiertk.models import CutSpec, NetworkSpec
from hiertk.study.accuracy.runs import FullRun, HierarchicalRun, Schedule
from hiertk.study.accuracy.settings import (
    BITS,
    FASTER,
    LARGER,
    REPLAY,
    SENT,
    SGD,
    SLOWER,
    AccuracySettings,
    CloudWay,
)
from hiertk.study.precision import Precision

CPU = torch.device("cpu")
SPEC = NetworkSpec("resnet18", 10, 32)


def batches(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    random = torch.Generator().manual_seed(1)
    return [
        (torch.randn(8, 3, 32, 32, generator=random), torch.arange(8) % 4) for _ in range(count)
    ]


def run_with(*ways: CloudWay, seed: int = 0, rate: float = 1e-3) -> HierarchicalRun:
    clouds = [(way, Schedule(1e-3, 4)) for way in ways]
    larger = AccuracySettings().larger(10, "batch")
    cut, edge = CutSpec(SPEC, 2), Schedule(rate, 4)
    return HierarchicalRun(cut, clouds, edge, device=CPU, seed=seed, larger=larger)


def test_the_rate_rises_and_falls_to_zero() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    rates = []
    for step in range(100):
        Schedule(0.5, 100).apply(optimizer, step)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(0.5, rel=0.05)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] == pytest.approx(0.005)


def test_the_edge_learns_the_same_whatever_clouds_stand_behind_it() -> None:
    bare, alone, beside = run_with(), run_with(SENT), run_with(*BITS, REPLAY, LARGER)
    for number, batch in enumerate(batches(4)):
        for run in (bare, alone, beside):
            run.step(number, batch)
    test = batches(2)
    assert bare.evaluate(test).early == alone.evaluate(test).early == beside.evaluate(test).early
    assert bare.evaluate(test).finals == ()
    assert alone.sent_bytes(test[0][0]) == beside.sent_bytes(test[0][0])
    shares = dict(zip((*BITS, REPLAY, LARGER), beside.evaluate(test).finals, strict=True))
    assert shares[SENT] == alone.evaluate(test).finals[0]


def test_precision_is_the_clouds_and_leaves_the_edge_as_it_is() -> None:
    found = []
    for precision in get_args(Precision):
        cloud = Schedule(1e-3, 4, precision)
        run = HierarchicalRun(
            CutSpec(SPEC, 2), [(SENT, cloud)], Schedule(1e-3, 4), device=CPU, seed=0
        )
        for number, batch in enumerate(batches(4)):
            run.step(number, batch)
        edge = [value for value in run._edge.state_dict().values() if value.is_floating_point()]
        cloud_values = run._clouds[0].training.cloud.state_dict().values()
        found.append((edge, [value for value in cloud_values if value.is_floating_point()]))
    (edge, own), (same_edge, other) = found
    assert all(torch.equal(one, two) for one, two in zip(edge, same_edge, strict=True))
    assert not all(torch.equal(one, two) for one, two in zip(own, other, strict=True))
    assert {value.dtype for value in other} == {torch.float32}


@pytest.mark.parametrize("way", [SLOWER, FASTER, SGD], ids=lambda way: way.name)
def test_another_rate_or_optimizer_changes_the_cloud_alone(way: CloudWay) -> None:
    alone, run = run_with(SENT), run_with(SENT, way)
    for number, batch in enumerate(batches(4)):
        alone.step(number, batch)
        run.step(number, batch)
    test = batches(2)
    assert run.evaluate(test).early == alone.evaluate(test).early
    assert run.evaluate(test).finals[0] == alone.evaluate(test).finals[0]
    own, other = (list(one.training.cloud.parameters()) for one in run._clouds)
    assert not any(torch.equal(one, two) for one, two in zip(own, other, strict=True))


def test_a_larger_cloud_partition_has_the_deeper_networks_layers() -> None:
    run = run_with(SENT, LARGER)
    own, larger = (
        sum(value.numel() for value in cloud.training.cloud.parameters()) for cloud in run._clouds
    )
    assert larger > 1.8 * own


def test_full_training_learns() -> None:
    run = FullRun(SPEC, Schedule(1e-3, 30), CPU, 0)
    batch = batches(1)
    for number in range(30):
        run.step(number, batch[0])
    assert run.evaluate(batch) > 0.7
