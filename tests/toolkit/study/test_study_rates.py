"""Rates: the best is found with a worse one on either side, and nothing is tried twice."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hiertk.study.accuracy.data import read_data
from hiertk.study.accuracy.rates import Measure, Tuner, tune
from hiertk.study.accuracy.settings import AccuracySettings
from hiertk.study.accuracy.trainer import StudyTrainer


def measuring(best: float, asked: list[float]) -> Measure:
    """Return a measure whose shares fall with the distance from the best rate."""

    def measure(rates: Sequence[float]) -> list[float]:
        asked.extend(rates)
        return [1 / (1 + abs(math.log(one / best))) for one in rates]

    return measure


@pytest.mark.parametrize(
    ("best", "asked"),
    [
        (1e-3, [3e-4, 1e-3, 3e-3]),
        (3e-3, [3e-4, 1e-3, 3e-3, 1e-2]),
        (1e-4, [3e-4, 1e-3, 3e-3, 1e-4, 3e-5]),
        (1e-9, [3e-4, 1e-3, 3e-3, 1e-4, 3e-5]),
        (1e9, [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1]),
    ],
)
def test_rates_are_tried_until_the_best_has_a_worse_one_on_either_side(
    best: float, asked: list[float], tmp_path: Path
) -> None:
    found: list[float] = []
    tuned = tune(tmp_path / "rate.json", measuring(best, found))
    assert found == asked
    assert tuned.rate == min(max(best, 3e-5), 3e-1)
    assert set(tuned.tried) == {f"{one:g}" for one in asked}


def test_the_first_to_be_tried_can_be_others(tmp_path: Path) -> None:
    found: list[float] = []
    measure = measuring(1e-2, found)
    assert tune(tmp_path / "rate.json", measure, (1e-2, 3e-2, 1e-1)).rate == 1e-2
    assert found == [1e-2, 3e-2, 1e-1, 3e-3]


def test_what_was_tried_is_not_tried_again(tmp_path: Path) -> None:
    path, first, then = tmp_path / "rate.json", list[float](), list[float]()

    def stop_after_three(rates: Sequence[float]) -> list[float]:
        if first:
            raise KeyboardInterrupt
        return list(measuring(3e-3, first)(rates))

    with pytest.raises(KeyboardInterrupt):
        tune(path, stop_after_three)
    assert tune(path, measuring(3e-3, then)).rate == 3e-3
    assert then == [1e-2]
    assert tune(path, measuring(1e-4, then)).rate == 3e-3
    assert then == [1e-2]


def test_a_rate_is_measured_by_the_mean_of_its_runs(tmp_path: Path) -> None:
    settings = AccuracySettings(
        data="fashion-mnist-mini", images=160, test_images=10, passes=1, tune_seeds=2
    )
    data = read_data(settings)
    tuner = Tuner(settings, data, tmp_path)
    trainer = StudyTrainer(settings, data.for_tuning())
    whole = [trainer.full(1e-3, seed) for seed in (0, 1)]
    early = [trainer.cut("plain", 1, 1e-3, [], seed)[0].early for seed in (0, 1)]
    assert whole[0] != whole[1]
    assert tuner.full().tried["0.001"] == pytest.approx(sum(whole) / 2)
    assert tuner.cut(1, with_sgd=False).edge.tried["0.001"] == pytest.approx(sum(early) / 2)
