"""Advice is computed: whoever follows it, in the model, finds that training pays."""

from dataclasses import replace
from typing import Any

import planner_parts as parts
import pytest
from hiertk.planner.advice import Advice, advise, paying_uplink, pays
from hiertk.planner.prediction import Prediction, Scenario, predict
from hiertk.planner.runtime_model import Link
from hiertk.planner.selection import Limits, fastest, missed_limits
from hiertk_protocol.profile import CloudPoint, EdgePoint, StepTime, Wire
from hypothesis import assume, given, settings
from hypothesis import strategies as st

WIFI = Link(18.88e6, 18.88e6, 0.06)


def best(scenario: Scenario, limits: Limits) -> Prediction:
    outlook = predict(scenario)
    return fastest([one for one in outlook.points if not missed_limits(one, limits, {})])


def is_paying(scenario: Scenario, limits: Limits | None = None) -> bool:
    return pays(predict(scenario), best(scenario, limits or Limits()))


def only(found: list[Advice], kind: str) -> Advice:
    (advice,) = [one for one in found if one.kind == kind]
    return advice


def at_rate(scenario: Scenario, rate: float) -> Scenario:
    return replace(scenario, link=replace(scenario.link, up_bits_per_s=rate))


def faster_steps(steps: tuple[StepTime, ...], factor: float) -> tuple[StepTime, ...]:
    return tuple(
        parts.step(
            one.samples,
            one.forward_ms / factor,
            one.backward_ms / factor,
            one.optimizer_ms / factor,
        )
        for one in steps
    )


def faster_wire(wire: Wire, factor: float) -> Wire:
    return wire.model_copy(update={"handover_ms": wire.handover_ms / factor})


def faster_edge(scenario: Scenario, factor: float) -> Scenario:
    def faster(point: EdgePoint) -> EdgePoint:
        wires = tuple(faster_wire(wire, factor) for wire in point.wire)
        return point.model_copy(update={"steps": faster_steps(point.steps, factor), "wire": wires})

    edge = scenario.edge
    points = tuple(faster(point) for point in edge.points)
    changes = {"points": points, "prepare_ms": edge.prepare_ms / factor}
    return replace(scenario, edge=edge.model_copy(update=changes))


def faster_cloud(scenario: Scenario, factor: float) -> Scenario:
    def faster(point: CloudPoint) -> CloudPoint:
        steps = faster_steps(point.steps, factor)
        changes = {"steps": steps, "receive_ms": point.receive_ms / factor}
        return point.model_copy(update=changes)

    points = tuple(faster(point) for point in scenario.cloud.points)
    return replace(scenario, cloud=scenario.cloud.model_copy(update={"points": points}))


def test_a_fast_link_does_not_pay_and_the_rate_below_which_it_does_is_exact() -> None:
    scenario = parts.scenario(link=WIFI)
    assert not is_paying(scenario)
    rate = only(advise(scenario, Limits(), {}), "uplink").value
    assert rate < 18.88e6
    assert is_paying(at_rate(scenario, 0.999 * rate))
    assert not is_paying(at_rate(scenario, 1.001 * rate))


@settings(max_examples=15, deadline=None)
@given(
    edge=st.floats(0.05, 20),
    cloud=st.floats(0.05, 20),
    replay=st.integers(0, 3),
    round_trip_s=st.floats(0, 1),
)
def test_the_paying_rate_parts_the_rates_that_pay_from_those_that_do_not(
    edge: float, cloud: float, replay: int, round_trip_s: float
) -> None:
    plain = parts.scenario(replay=replay, link=replace(WIFI, round_trip_s=round_trip_s))
    scenario = faster_cloud(faster_edge(plain, edge), cloud)
    rate = paying_uplink(scenario, Limits(), {})
    assert rate is not None  # these features are smaller than raw images
    for factor in (0.01, 0.5, 0.999):
        assert is_paying(at_rate(scenario, factor * min(rate, 1e12)))
    if rate < 1e13:
        for factor in (1.001, 2, 100):
            assert not is_paying(at_rate(scenario, factor * rate))


def test_features_larger_than_raw_images_pay_at_no_rate() -> None:
    scenario = parts.scenario(compression=0.05)
    assert paying_uplink(scenario, Limits(), {}) is None


def test_a_part_that_nothing_holds_back_pays_at_any_rate() -> None:
    scenario = faster_cloud(faster_edge(parts.scenario(replay=0), 1000), 1.0)
    assert paying_uplink(scenario, Limits(), {}) == float("inf")


def test_fewer_bits_are_advised_where_they_pay() -> None:
    # The link is the slowest part, and 8 bits without compression are more than raw images.
    scenario = parts.scenario(bits=(8,), compression=0.7)
    limits = Limits(edge_parameters=150_000)
    assert not is_paying(scenario, limits)
    assert only(advise(scenario, limits, {}), "bits").value == 4
    assert is_paying(replace(scenario, bits=(4,)), limits)


def test_no_replay_is_advised_where_it_pays() -> None:
    scenario = parts.scenario(link=WIFI)
    assert only(advise(scenario, Limits(), {}), "replay").value == 0
    assert is_paying(replace(scenario, replay=0))


def test_a_point_that_the_limits_forbid_is_named_with_the_limit() -> None:
    scenario = parts.scenario(bits=(8,), compression=0.7)
    limits = Limits(edge_parameters=150_000)
    advice = only(advise(scenario, limits, {}), "limit")
    assert "--max-edge-parameters" in advice.text
    assert is_paying(scenario, Limits(edge_parameters=10**9))


def test_a_bottleneck_is_as_wide_as_pays_and_no_wider() -> None:
    scenario = parts.scenario(bits=(8,), compression=0.7)
    limits = Limits(edge_parameters=80_000)
    channels = only(advise(scenario, limits, {}), "bottleneck").value
    for wanted, count in ((True, channels), (False, channels + 1)):
        points = tuple(
            cut.model_copy(update={"feature_shape": (int(count), *cut.feature_shape[1:])})
            for cut in scenario.edge.points
        )
        narrowed = replace(scenario, edge=scenario.edge.model_copy(update={"points": points}))
        assert is_paying(narrowed, limits) is wanted


@pytest.mark.parametrize(("kind", "faster"), [("edge", faster_edge), ("cloud", faster_cloud)])
def test_a_faster_machine_pays_from_the_advised_factor_on(kind: str, faster: Any) -> None:
    scenario = parts.scenario(link=WIFI)
    factor = only(advise(scenario, Limits(), {}), kind).value
    assert factor > 1
    assert is_paying(faster(scenario, 1.001 * factor))
    assert not is_paying(faster(scenario, 0.999 * factor))


@settings(max_examples=15, deadline=None)
@given(
    edge=st.floats(0.05, 20), cloud=st.floats(0.05, 20), rate=st.floats(1e5, 1e9),
    compression=st.floats(0.1, 3),
)  # fmt: skip
def test_every_advice_on_machines_and_rates_holds_for_any_figures(
    edge: float, cloud: float, rate: float, compression: float
) -> None:
    plain = parts.scenario(link=replace(WIFI, up_bits_per_s=rate), compression=compression)
    scenario = faster_cloud(faster_edge(plain, edge), cloud)
    assume(not is_paying(scenario))
    for advice in advise(scenario, Limits(), {}):
        if advice.kind == "edge":
            assert is_paying(faster_edge(scenario, 1.001 * advice.value))
        if advice.kind == "cloud":
            assert is_paying(faster_cloud(scenario, 1.001 * advice.value))
        if advice.kind == "uplink":
            assert is_paying(at_rate(scenario, 0.999 * advice.value))
