"""Rates: the best is found with a worse one on either side, and nothing is tried twice."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hiertk.study.accuracy.rates import Measure, tune


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
