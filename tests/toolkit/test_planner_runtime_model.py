"""The equations, against hand arithmetic, and what must hold for any figures."""

from dataclasses import replace
from typing import Any

import planner_parts as parts
import pytest
from hiertk.planner.prediction import Outlook, Prediction, predict
from hiertk.planner.runtime_model import (
    Link,
    Payload,
    cloud_time,
    full_cloud,
    hierarchical,
    payload_at_compression,
    payload_of,
    reduction_percent,
    split_learning,
)
from hiertk.planner.times import CloudTime, EdgeTime
from hiertk_edge.uplink.window import WindowLimits
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.messages import MAX_MESSAGE_BYTES
from hiertk_protocol.profile import CloudPoint
from hypothesis import given
from hypothesis import strategies as st

EDGE = EdgeTime(prepare_s=1, forward_s=2, backward_s=4, optimizer_s=8, handover_s=16)
CLOUD = CloudTime(receive_s=1, forward_s=2, backward_s=3, optimizer_s=4)
LINK = Link(up_bits_per_s=1000, down_bits_per_s=2000, round_trip_s=0.5, efficiency=0.8)
WINDOW = WindowLimits()

seconds = st.floats(0, 100)
sizes = st.floats(1, 1e7)
edges = st.builds(EdgeTime, seconds, seconds, seconds, seconds, seconds)
clouds = st.builds(CloudTime, seconds, seconds, seconds, seconds)
links = st.builds(Link, st.floats(1e3, 1e9), st.floats(1e3, 1e9), st.floats(0, 2))
payloads = st.builds(Payload, sizes, st.integers(1, 100))


def predict_with(**changes: Any) -> Outlook:
    return predict(parts.scenario(**changes))


def at(outlook: Outlook, split: int, bits: int) -> Prediction:
    (found,) = [one for one in outlook.points if (one.cut.split, one.bits) == (split, bits)]
    return found


def test_payload_gets_its_share_of_the_line_rate() -> None:
    assert LINK.up_s(100) == pytest.approx(1.0)
    assert LINK.down_s(100) == pytest.approx(0.5)


def test_full_cloud_alone_is_a_sum_and_in_a_pipeline_the_slowest_part() -> None:
    times = full_cloud(3.0, 200, parts.step(32, 1000, 2000, 1000), LINK)
    assert times.alone_s == pytest.approx(0.25 + 2 + 4)
    assert times.pipeline_s == pytest.approx(4)
    assert times.slowest == "cloud"
    assert full_cloud(3.0, 1000, parts.step(32, 1, 1, 1), LINK).slowest == "link"
    assert full_cloud(3.0, 100, parts.step(32, 1, 1, 1), LINK).slowest == "prepare"


def test_split_learning_is_a_sum_over_both_directions_of_the_link() -> None:
    times = split_learning(EDGE, parts.step(32, 1000, 1000, 1000), 100, LINK)
    assert times.up_s == pytest.approx(0.25 + 1)
    assert times.down_s == pytest.approx(0.25 + 0.5)
    assert times.total_s == pytest.approx(2 + 1.25 + 3 + 0.75 + 12)


def test_hierarchical_alone_overlaps_the_update_with_transfer_and_cloud() -> None:
    times = hierarchical(EDGE, Payload(100, 1), CLOUD, LINK, WINDOW)
    assert times.alone_s == pytest.approx(2 + max(12, 16 + 0.25 + 1 + 10))
    slow_update = replace(EDGE, backward_s=90)
    times = hierarchical(slow_update, Payload(100, 1), CLOUD, LINK, WINDOW)
    assert times.alone_s == pytest.approx(2 + 98)


def test_hierarchical_in_a_pipeline_is_the_slowest_of_edge_link_and_cloud() -> None:
    times = hierarchical(EDGE, Payload(100, 1), CLOUD, LINK, WINDOW)
    assert (times.slowest, times.pipeline_s) == ("edge", 1 + 2 + 4 + 8 + 16)
    times = hierarchical(EDGE, Payload(5000, 1), CLOUD, LINK, WINDOW)
    assert (times.slowest, times.pipeline_s) == ("link", 50)
    times = hierarchical(EDGE, Payload(1, 1), replace(CLOUD, forward_s=80), LINK, WINDOW)
    assert (times.slowest, times.pipeline_s) == ("cloud", 88)


def test_a_long_round_trip_holds_a_fast_link_back_by_the_window() -> None:
    far = Link(1e12, 1e12, round_trip_s=2.0)
    by_messages = hierarchical(EDGE, Payload(100, 16), CLOUD, far, WINDOW).link
    assert by_messages.busy_s == by_messages.window_s == pytest.approx(2.0 * 16 / 32)
    by_bytes = hierarchical(EDGE, Payload(3 << 20, 30), CLOUD, far, WINDOW).link
    assert by_bytes.window_s == pytest.approx(2.0 * 3)


def test_measured_bytes_are_taken_as_they_are_and_scale_with_the_samples() -> None:
    wire = parts.wire(8, 100_000, samples=32, messages=7)
    assert payload_of(wire, 32) == Payload(100_000, 7)
    assert payload_of(wire, 16) == Payload(50_000, 1)
    assert payload_of(wire, 64) == Payload(200_000, 2)


def test_a_compression_ratio_replaces_measured_bytes() -> None:
    assert payload_at_compression(1000, 2.0) == Payload(500, 1)
    assert payload_at_compression(2 * MAX_MESSAGE_BYTES, 1.0).messages == 2
    found = at(predict_with(compression=2.0), 1, 4)
    assert found.feature_bytes == pytest.approx(64 * 8 * 8 / 2 / 2)


def test_the_cloud_takes_a_step_for_each_message_with_its_share_of_replay() -> None:
    measured = (parts.step(8, 8, 16, 3), parts.step(64, 64, 128, 3))
    point = CloudPoint(split=1, module="m", receive_ms=5, steps=measured)
    one = cloud_time(point, messages=1, batch_size=32, replay=1)
    assert one.busy_s == pytest.approx((5 + 64 + 128 + 3) / 1e3)
    two = cloud_time(point, messages=2, batch_size=32, replay=1)
    assert two.busy_s == pytest.approx((2 * 5 + 2 * (32 + 64 + 3)) / 1e3)
    none = cloud_time(point, messages=2, batch_size=32, replay=0)
    assert none.busy_s == pytest.approx((2 * 5 + 2 * (16 + 32 + 3)) / 1e3)


def test_a_reduction_is_in_percent_of_the_baseline() -> None:
    assert reduction_percent(20, 100) == pytest.approx(80)
    assert reduction_percent(150, 100) == pytest.approx(-50)


def test_reductions_compare_like_with_like() -> None:
    outlook = predict_with()
    full = outlook.full_cloud
    for one in outlook.points:
        times = one.hierarchical
        assert one.reduction_percent == 100 * (1 - times.pipeline_s / full.pipeline_s)
        assert one.reduction_alone_percent == 100 * (1 - times.alone_s / full.alone_s)


def test_where_the_link_dominates_the_reduction_is_the_bytes_saved() -> None:
    slow = Link(1e3, 1e3)
    for one in predict_with(link=slow).points:
        saved = 100 * (1 - one.feature_bytes / parts.RAW_BYTES)
        assert one.reduction_percent == pytest.approx(saved, abs=0.01)


def test_every_point_is_predicted_at_every_number_of_bits_asked_for() -> None:
    both = predict_with()
    assert [(one.cut.split, one.bits) for one in both.points] == [
        (split, bits) for split in range(1, 9) for bits in (8, 4)
    ]
    assert {one.bits for one in predict_with(bits=(4,)).points} == {4}


def test_a_larger_batch_takes_its_steps_at_that_size() -> None:
    small, large = at(predict_with(batch_size=16), 3, 4), at(predict_with(batch_size=32), 3, 4)
    edge = large.hierarchical.edge
    assert edge.forward_s == pytest.approx(2 * small.hierarchical.edge.forward_s)
    assert edge.optimizer_s == pytest.approx(small.hierarchical.edge.optimizer_s)
    assert edge.handover_s == pytest.approx(2 * small.hierarchical.edge.handover_s)


def test_without_the_whole_network_there_is_no_baseline() -> None:
    cloud = parts.cloud_profile()
    with pytest.raises(ConfigError, match="lacks split 0"):
        predict_with(cloud=cloud.model_copy(update={"points": cloud.points[1:]}))


def test_profiles_without_a_common_point_give_no_plan() -> None:
    edge, cloud = parts.edge_profile(), parts.cloud_profile()
    with pytest.raises(ConfigError, match="no separation point at 8 or 4 bits"):
        predict_with(
            edge=edge.model_copy(update={"points": edge.points[:2]}),
            cloud=cloud.model_copy(update={"points": (cloud.points[0], *cloud.points[3:])}),
        )


@given(edges, payloads, clouds, links)
def test_a_pipeline_is_as_slow_as_its_slowest_part_and_no_faster(
    edge: EdgeTime, payload: Payload, cloud: CloudTime, link: Link
) -> None:
    times = hierarchical(edge, payload, cloud, link, WINDOW)
    busy = {"edge": edge.busy_s, "link": times.link.busy_s, "cloud": cloud.busy_s}
    assert times.pipeline_s == max(busy.values()) == busy[times.slowest]


@given(edges, payloads, clouds, links, st.floats(1.01, 100))
def test_a_faster_link_never_costs_time(
    edge: EdgeTime, payload: Payload, cloud: CloudTime, link: Link, factor: float
) -> None:
    faster = replace(link, up_bits_per_s=link.up_bits_per_s * factor)
    before = hierarchical(edge, payload, cloud, link, WINDOW)
    after = hierarchical(edge, payload, cloud, faster, WINDOW)
    assert after.pipeline_s <= before.pipeline_s
    assert after.alone_s <= before.alone_s


@given(edges, payloads, clouds, links)
def test_hierarchical_alone_never_takes_longer_than_the_same_parts_in_a_row(
    edge: EdgeTime, payload: Payload, cloud: CloudTime, link: Link
) -> None:
    times = hierarchical(edge, payload, cloud, link, WINDOW)
    remote_s = edge.handover_s + link.one_way_s + link.up_s(payload.bytes) + cloud.busy_s
    assert times.alone_s <= edge.forward_s + edge.update_s + remote_s
    assert times.alone_s >= edge.forward_s + remote_s
