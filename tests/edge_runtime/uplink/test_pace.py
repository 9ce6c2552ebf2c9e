import math

from hiertk_edge.uplink.pace import Pace
from hypothesis import given, settings
from hypothesis import strategies as st

HOUR = 3600
SENDINGS = st.lists(st.tuples(st.floats(0, 5), st.integers(1, 5000)), min_size=1, max_size=60)


@settings(max_examples=40, deadline=None)
@given(sendings=SENDINGS, rate=st.floats(10, 5000))
def test_no_stretch_of_time_carries_more_than_its_rate_a_burst_and_one_message(
    sendings: list[tuple[float, int]], rate: float
) -> None:
    pace = Pace(bytes_per_s=rate)
    now = 0.0
    sent: list[tuple[float, int]] = []
    for pause, size in sendings:
        now += pause + pace.wait_s(now + pause)
        assert pace.wait_s(now) == 0, "the wait that was told is enough"
        pace.spend(size, now=now, clock=int(now))
        sent.append((now, size))
    for first, (begin, _) in enumerate(sent):
        total = 0
        for end, size in sent[first:]:
            total += size
            assert total <= rate * (end - begin) + rate + size + 1e-6 * total


def test_a_message_larger_than_the_bucket_goes_and_the_next_one_waits_for_it() -> None:
    pace = Pace(bytes_per_s=100)
    assert pace.wait_s(0) == 0
    pace.spend(1000, now=0, clock=0)
    assert 9 <= pace.wait_s(0) <= 9.1
    assert pace.wait_s(9.1) == 0


def test_idle_time_saves_up_one_second_only() -> None:
    pace = Pace(bytes_per_s=100)
    pace.wait_s(0)
    pace.spend(150, now=1000, clock=1000)
    assert pace.wait_s(1000) > 0


def test_without_limits_nothing_waits() -> None:
    pace = Pace()
    pace.spend(1 << 40, now=0, clock=0)
    assert pace.wait_s(0) == 0
    assert pace.fits_the_day(1 << 40, 0)
    assert (pace.left(0), pace.share_of_the_day(0)) == (0, 0.0)


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 5 * HOUR), st.integers(1, 400)), max_size=80),
    budget=st.integers(100, 2000),
)
def test_no_24_hours_take_more_than_the_budget(steps: list[tuple[int, int]], budget: int) -> None:
    pace = Pace(bytes_per_day=budget)
    clock = 0
    sent: list[tuple[int, int]] = []
    for pause, size in steps:
        clock += pause
        if pace.fits_the_day(size, clock):
            pace.spend(size, now=clock, clock=clock)
            sent.append((clock, size))
    for first, (begin, _) in enumerate(sent):
        day = [size for when, size in sent[first:] if when < begin + 24 * HOUR]
        assert sum(day) <= budget


def test_the_budget_comes_back_hour_by_hour_after_a_day() -> None:
    pace = Pace(bytes_per_day=1000)
    pace.spend(600, now=0, clock=10)
    pace.spend(400, now=0, clock=5 * HOUR)
    assert not pace.fits_the_day(1, 24 * HOUR)
    assert pace.left(25 * HOUR) == 600
    assert pace.left(30 * HOUR) == 1000


def test_it_goes_on_from_the_hours_before() -> None:
    pace = Pace(bytes_per_day=1000, hours={-3: 700, -40: 900})
    assert (pace.spent(0), pace.left(0)) == (700, 300)
    assert pace.spend(100, now=0, clock=0) == 100
    assert pace.spend(100, now=0, clock=HOUR - 1) == 200, "the bytes of its hour"


def test_the_share_of_a_day_is_what_the_newest_hour_would_come_to() -> None:
    pace = Pace(bytes_per_day=2400)
    pace.spend(100, now=0, clock=HOUR // 2)
    assert math.isclose(pace.share_of_the_day(HOUR - 1), 1)
    assert math.isclose(pace.share_of_the_day(HOUR + HOUR // 2), 0.5)
    assert pace.share_of_the_day(3 * HOUR) == 0
