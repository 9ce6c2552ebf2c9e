import math

import pytest
from hiertk_edge.uplink.ack_rate import AckRate
from hiertk_edge.uplink.bits import BitsRule, LinkState
from hypothesis import given, settings
from hypothesis import strategies as st

EASY = LinkState(backlog_s=1)
LINKS = st.builds(
    LinkState,
    backlog_s=st.one_of(st.floats(0, 200), st.just(math.nan)),
    offline_s=st.one_of(st.just(0.0), st.floats(0, 100)),
    day_share=st.floats(0, 3),
)


@pytest.mark.parametrize(
    "tight",
    [LinkState(backlog_s=61), LinkState(0, offline_s=30), LinkState(0, day_share=1.01)],
)
def test_a_link_that_cannot_carry_8_bits_gets_4_at_once(tight: LinkState) -> None:
    rule = BitsRule("auto", 8)
    assert rule.look(EASY, 0) == 8
    assert rule.look(tight, 1) == 4


@pytest.mark.parametrize(
    "neither",
    [
        LinkState(backlog_s=30),
        LinkState(0, offline_s=20),
        LinkState(0, day_share=0.7),
        LinkState(backlog_s=math.nan),
    ],
)
def test_what_is_neither_tight_nor_easy_changes_nothing(neither: LinkState) -> None:
    rule = BitsRule("auto", 8)
    assert rule.look(neither, 0) == 8
    rule.look(LinkState(backlog_s=100), 1)
    assert rule.look(neither, 1000) == 4


def test_8_bits_come_back_after_a_minute_that_was_easy_throughout() -> None:
    rule = BitsRule("auto", 8)
    rule.look(LinkState(backlog_s=100), 0)
    assert rule.look(EASY, 10) == 4
    assert rule.look(EASY, 69) == 4
    assert rule.look(LinkState(backlog_s=20), 69.5) == 4
    assert rule.look(EASY, 70) == 4
    assert rule.look(EASY, 129) == 4
    assert rule.look(EASY, 130) == 8


@settings(max_examples=40, deadline=None)
@given(links=st.lists(LINKS, max_size=30))
def test_bits_change_up_at_most_once_a_minute(links: list[LinkState]) -> None:
    rule = BitsRule("auto", 8)
    went_down: float | None = None
    before = 8
    for second, link in enumerate(links):
        bits = rule.look(link, second * 7.0)
        if bits < before:
            went_down = second * 7.0
        if bits > before:
            assert went_down is not None
            assert second * 7.0 - went_down >= 60
        before = bits


@settings(max_examples=40, deadline=None)
@given(links=st.lists(LINKS, max_size=10), setting=st.sampled_from(["auto", 8, 4]))
def test_a_bundle_of_4_bits_and_a_setting_of_4_stay_there(
    links: list[LinkState], setting: object
) -> None:
    bundle, fixed = BitsRule(setting, 4), BitsRule(4, 8)  # type: ignore[arg-type]
    for second, link in enumerate(links):
        assert bundle.look(link, 100.0 * second) == fixed.look(link, 100.0 * second) == 4


def test_a_setting_of_8_does_not_adapt() -> None:
    rule = BitsRule(8, 8)
    assert rule.look(LinkState(backlog_s=math.inf, offline_s=1e6, day_share=9), 0) == 8


def test_the_rate_is_that_of_the_newest_half_minute_of_waiting() -> None:
    rate = AckRate()
    assert math.isnan(rate.seconds_for(1000, 0))
    assert rate.seconds_for(0, 0) == 0
    for _ in range(10):
        rate.add(5000, 1.0)
    assert rate.seconds_for(50_000, 0) == 10
    for _ in range(40):
        rate.add(100, 1.0)
    assert rate.seconds_for(1000, 0) == 10, "the fast acks are forgotten"


def test_a_link_that_falls_silent_gets_slower_by_the_second() -> None:
    rate = AckRate()
    rate.add(1000, 1.0)
    assert rate.seconds_for(1000, 0) == 1
    assert rate.seconds_for(1000, 9) == 10
