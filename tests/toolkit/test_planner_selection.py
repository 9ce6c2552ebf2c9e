from dataclasses import replace
from typing import Any

import planner_parts as parts
import pytest
from hiertk.planner.prediction import Prediction, predict
from hiertk.planner.selection import Limits, missed_limits, select
from hiertk_protocol.errors import ConfigError
from hypothesis import given, settings
from hypothesis import strategies as st

ALL = predict(parts.scenario()).points
NO_LIMITS = Limits(edge_parameters=10**12)


def place(prediction: Prediction) -> tuple[int, int]:
    return prediction.cut.split, prediction.bits


def with_time(prediction: Prediction, seconds: float, size: float) -> Prediction:
    times = replace(prediction.hierarchical, pipeline_s=seconds)
    return replace(prediction, hierarchical=times, feature_bytes=size)


def test_the_point_of_least_time_is_chosen() -> None:
    chosen = select(ALL, NO_LIMITS, {})
    assert chosen.seconds == min(one.seconds for one in ALL)


def test_equal_times_go_to_fewer_bytes_then_to_the_shallower_point() -> None:
    first, second, third = ALL[0], ALL[2], ALL[4]
    nearly = [
        with_time(first, 1.0, 500),
        with_time(third, 1.0005, 100),
        with_time(second, 1.0009, 100),
    ]
    assert select(nearly, NO_LIMITS, {}).cut.split == second.cut.split
    clearly = [with_time(first, 1.0, 500), with_time(second, 1.0011, 100)]
    assert select(clearly, NO_LIMITS, {}).cut.split == first.cut.split


def test_by_default_the_edge_holds_no_more_parameters_than_the_cloud() -> None:
    allowed = {one.cut.split for one in ALL if not missed_limits(one, Limits(), {})}
    assert allowed == {1, 2, 3, 4, 5, 6}


def test_a_limit_on_parameters_replaces_the_default() -> None:
    allowed = {
        one.cut.split for one in ALL if not missed_limits(one, Limits(edge_parameters=400_000), {})
    }
    assert allowed == {1, 2, 3}


@pytest.mark.parametrize(
    ("limits", "splits"),
    [
        (Limits(edge_memory_bytes=105_000_000), {1, 2}),
        (Limits(uplink_bytes=400), {5, 6}),
        (Limits(step_s=0.06), {1, 2}),
    ],
)
def test_each_limit_holds(limits: Limits, splits: set[int]) -> None:
    allowed = [one for one in ALL if not missed_limits(one, limits, {})]
    assert {one.cut.split for one in allowed} == splits
    assert select(ALL, limits, {}) in allowed


def test_the_accuracy_drop_counts_measured_points_only() -> None:
    drops = {(4, 8): 0.004, (4, 4): 0.03, (5, 8): 0.02, (1, 8): -0.001}
    limits = Limits(accuracy_drop=0.01)
    allowed = [place(one) for one in ALL if not missed_limits(one, limits, drops)]
    assert allowed == [(1, 8), (4, 8)]
    assert place(select(ALL, limits, drops)) == (4, 8)
    (missed,) = missed_limits(ALL[2], limits, drops)
    assert str(missed) == "--max-accuracy-drop: no measured accuracy"


def test_what_no_point_meets_is_named_with_the_best_that_is_reached() -> None:
    with pytest.raises(ConfigError) as caught:
        select(ALL, Limits(edge_memory_bytes=48_000_000, step_s=0.03), {})
    line = str(caught.value)
    assert "the tightest is --max-edge-memory: 96.2 MB is more than 48 MB" in line
    assert "missed by 100.4%" in line
    assert "point 1" in line
    assert "\n" not in line


def test_limits_that_only_together_are_too_much_name_the_nearest_point() -> None:
    with pytest.raises(ConfigError) as caught:
        select(ALL, Limits(uplink_bytes=400, step_s=0.1), {})
    line = str(caught.value)
    assert "all limits at once; nearest is point 5 at 4 bits" in line
    assert "--max-step-time: 129 ms is more than 100 ms (missed by 29.5%)" in line


def test_no_measured_accuracy_at_all_is_the_tightest_limit() -> None:
    with pytest.raises(ConfigError, match="--accuracies has no separation point of this plan"):
        select(ALL, Limits(accuracy_drop=0.5), {})


amounts = st.none() | st.floats(0.5, 3.0)


@settings(max_examples=60)
@given(memory=amounts, parameters=amounts, size=amounts, step=amounts)
def test_a_choice_meets_every_limit_and_no_allowed_point_is_faster(
    memory: Any, parameters: Any, size: Any, step: Any
) -> None:
    limits = Limits(
        edge_memory_bytes=memory and round(memory * 100e6),
        edge_parameters=parameters and round(parameters * 1e6),
        uplink_bytes=size and round(size * 1000),
        step_s=step and step * 0.1,
    )
    allowed = [one for one in ALL if not missed_limits(one, limits, {})]
    if not allowed:
        with pytest.raises(ConfigError, match="no separation point meets"):
            select(ALL, limits, {})
        return
    chosen = select(ALL, limits, {})
    assert chosen in allowed
    assert chosen.seconds <= 1.001 * min(one.seconds for one in allowed)
