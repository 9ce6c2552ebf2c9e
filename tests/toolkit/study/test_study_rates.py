"""Rates: the best is found with a worse one on either side, and chance does not decide."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from hiertk.study.accuracy.data import read_data
from hiertk.study.accuracy.rates import Measure, Tuner, tune
from hiertk.study.accuracy.records import CellKey, CutRates, Rates, Tuned
from hiertk.study.accuracy.settings import AccuracySettings
from hiertk.study.accuracy.trainer import StudyTrainer
from hiertk.study.records import write_record


def measuring(best: float, asked: list[float]) -> Measure:
    """Return a measure whose shares fall with the distance from the best rate."""

    def measure(rates: Sequence[float], seeds: Sequence[int]) -> list[float]:
        assert list(seeds) == [0]
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
    tuned = tune(tmp_path / "rate.json", measuring(best, found), 3)
    assert found == asked
    assert tuned.rate == min(max(best, 3e-5), 3e-1)
    assert set(tuned.tried) == {f"{one:g}" for one in asked}


def test_the_first_to_be_tried_can_be_others(tmp_path: Path) -> None:
    found: list[float] = []
    measure = measuring(1e-2, found)
    assert tune(tmp_path / "rate.json", measure, 3, (1e-2, 3e-2, 1e-1)).rate == 1e-2
    assert found == [1e-2, 3e-2, 1e-1, 3e-3]


def test_what_was_tried_is_not_tried_again(tmp_path: Path) -> None:
    path, first, then = tmp_path / "rate.json", list[float](), list[float]()

    def stop_after_three(rates: Sequence[float], seeds: Sequence[int]) -> list[float]:
        if first:
            raise KeyboardInterrupt
        return list(measuring(3e-3, first)(rates, seeds))

    with pytest.raises(KeyboardInterrupt):
        tune(path, stop_after_three, 3)
    assert tune(path, measuring(3e-3, then), 3).rate == 3e-3
    assert then == [1e-2]
    assert tune(path, measuring(1e-4, then), 3).rate == 3e-3
    assert then == [1e-2]


# Shares by seed. With seed 0 alone the worst rate looks best, and the one between looks bad.
_MISLEADING = {
    1e-4: (0.70, 0.70, 0.70),
    3e-4: (0.80, 0.82, 0.82),
    1e-3: (0.78, 0.80, 0.76),
    3e-3: (0.82, 0.60, 0.50),
    1e-2: (0.40, 0.40, 0.40),
}


def misleading(asked: list[tuple[float, int]]) -> Measure:
    def measure(rates: Sequence[float], seeds: Sequence[int]) -> list[float]:
        asked.extend((rate, seed) for rate in rates for seed in seeds)
        return [fmean(_MISLEADING[rate][seed] for seed in seeds) for rate in rates]

    return measure


def test_where_a_rate_is_worse_than_two_beside_it_more_seeds_decide(tmp_path: Path) -> None:
    asked: list[tuple[float, int]] = []
    tuned = tune(tmp_path / "rate.json", misleading(asked), 3)
    assert (tuned.rate, tuned.seeds) == (3e-4, 2)
    assert tuned.tried == pytest.approx(
        {f"{rate:g}": fmean(shares[:2]) for rate, shares in _MISLEADING.items()}
    )
    assert len(asked) == len(set(asked)) == 2 * len(_MISLEADING)


def test_no_more_seeds_measure_than_there_may_be(tmp_path: Path) -> None:
    asked: list[tuple[float, int]] = []
    tuned = tune(tmp_path / "rate.json", misleading(asked), 1)
    assert (tuned.rate, tuned.seeds) == (3e-3, 1)
    assert tune(tmp_path / "rate.json", misleading(asked), 3).rate == 3e-4  # goes on from there
    assert len(asked) == len(set(asked))


def test_shares_that_never_agree_end_with_the_last_seed(tmp_path: Path) -> None:
    def measure(rates: Sequence[float], seeds: Sequence[int]) -> list[float]:
        return [0.1 if rate == 1e-3 else 0.8 if rate in (3e-4, 3e-3) else 0.0 for rate in rates]

    tuned = tune(tmp_path / "rate.json", measure, 4)
    assert (tuned.rate, tuned.seeds) == (3e-4, 4)


def test_a_rate_is_measured_by_the_mean_of_its_runs(tmp_path: Path) -> None:
    settings = AccuracySettings(data="fashion-mnist-mini", images=160, test_images=10, passes=1)
    data = read_data(settings)
    trainer = StudyTrainer(settings, data.for_tuning())
    early = [trainer.cut("plain", 1, 1e-3, [], seed)[0].early for seed in (0, 1)]
    assert early[0] != early[1]
    once = Tuned(rate=3e-4, tried={"0.0003": 0.9, "0.001": 0.0, "0.003": 0.5, "0.0001": 0.0})
    write_record(tmp_path / "rate-edge-split1.json", once)  # two peaks
    twice = replace(settings, tune_seeds=2)
    found = Tuner(twice, data, tmp_path).cut("plain", 1, with_sgd=False).edge
    assert found.tried["0.001"] == pytest.approx(early[1] / 2)


def tuned(rate: float) -> Tuned:
    return Tuned(rate=rate, tried={f"{rate:g}": 0.5})


def cut_rates(variant: str, split: int, edge: float) -> CutRates:
    return CutRates(variant=variant, split=split, edge=tuned(edge), cloud=tuned(0.001))


def rates_for(rates: Rates, variant: str, split: int | None) -> str:
    return rates.name(CellKey(variant=variant, split=split, seed=0))


def test_a_point_without_rates_of_its_own_takes_those_of_the_nearest_with_some() -> None:
    cuts = (cut_rates("plain", 2, 0.01), cut_rates("plain", 6, 0.003))
    rates = Rates(full=tuned(0.1), cuts=cuts)
    assert [rates.at("plain", split).split for split in range(1, 9)] == [2, 2, 2, 2, 6, 6, 6, 6]
    assert rates_for(rates, "plain", 4) == "edge0.01-cloud0.001"
    assert rates_for(rates, "plain", None) == "full0.1"


def test_a_variant_without_rates_of_its_own_takes_those_of_the_plain_network() -> None:
    cuts = (cut_rates("plain", 2, 0.01), cut_rates("group", 6, 0.003))
    rates = Rates(full=tuned(0.1), full_of={"group": tuned(0.03)}, cuts=cuts)
    assert rates_for(rates, "group", None) == "full0.03"
    assert rates_for(rates, "group", 2) == "edge0.003-cloud0.001"
    assert rates_for(rates, "bottleneck", 6) == "edge0.01-cloud0.001"
