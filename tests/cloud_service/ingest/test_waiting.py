"""Messages in line: fair over devices, bounded, and no faster than a device may."""

import pytest
from hiertk_cloud.ingest import waiting
from hiertk_cloud.ingest.limits import Limits, RateLimiter
from hiertk_cloud.ingest.waiting import WaitingMessages

FAST = Limits(messages_per_s=1e6, bytes_per_s=1e12)


class Line:
    """Waiting messages, of which the topic is the device."""

    def __init__(self, limits: Limits = FAST) -> None:
        self.left_out: list[str] = []
        self.waiting = WaitingMessages(
            limits, device_of=lambda topic: topic, on_overflow=self.left_out.append
        )

    def put(self, device: str, count: int, size: int = 10) -> int:
        return sum(self.waiting.put(device, bytes(size)) for _ in range(count))

    def take(self, count: int = 1000, max_bytes: int = 1 << 30) -> list[str]:
        found = self.waiting.take(count=count, max_bytes=max_bytes, wait_s=0.05)
        return [message.topic for message in found]


def test_one_message_of_each_device_in_turn() -> None:
    line = Line()
    line.put("flood", 5)
    line.put("late", 2)
    assert line.take() == ["flood", "late", "flood", "late", "flood", "flood", "flood"]


def test_a_group_ends_at_its_count_and_its_bytes() -> None:
    line = Line()
    line.put("a", 10, size=100)
    assert len(line.take(count=3)) == 3
    assert len(line.take(max_bytes=250)) == 3
    assert len(line.take()) == 4
    assert line.take() == []


def test_a_full_line_leaves_out_its_own_devices_messages_only() -> None:
    line = Line()
    line.put("flood", waiting.MAX_DEVICE_MESSAGES + 7)
    line.put("late", 1)
    assert "late" in line.take()
    assert line.left_out == ["flood"] * 7


def test_no_more_bytes_wait_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MAX_BYTES", 1000)
    line = Line()
    assert line.put("a", 12, size=100) == 10
    assert len(line.take()) == 10
    assert line.put("a", 12, size=100) == 10


def test_more_devices_than_the_bound_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MAX_DEVICES", 2)
    line = Line()
    for device in ("a", "b", "c", "a"):
        line.put(device, 1)
    assert sorted(line.take()) == ["a", "a", "b"]
    assert line.left_out == ["c"]


def test_a_device_above_its_rate_waits_and_the_others_do_not() -> None:
    line = Line(Limits(messages_per_s=1.0, bytes_per_s=1e12))
    line.put("flood", 50)
    line.put("late", 3)
    taken = line.take()
    assert taken.count("flood") == 5  # a burst of five seconds
    assert taken.count("late") == 3
    assert line.left_out == []


class Hands:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    "limits",
    [
        Limits(messages_per_s=10, bytes_per_s=1e12),
        Limits(messages_per_s=1e6, bytes_per_s=10_000),
    ],
)
def test_the_rate_holds_over_time_whatever_the_moments(limits: Limits) -> None:
    clock = Hands()
    limiter = RateLimiter(limits, clock)
    passed = 0
    for tick in range(10_000):
        clock.now = tick * 0.01
        if limiter.is_open:
            limiter.spend(1000)
            passed += 1
    assert 10 * 100 <= passed <= 10 * (100 + 5) + 1
