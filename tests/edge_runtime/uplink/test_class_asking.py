"""When slots are asked for, and how often; the link and the clock are the test's."""

import itertools

import pytest
from edge_runtime.classes.class_parts import MANIFEST, Told
from hiertk_edge.uplink import ClassLink
from hiertk_edge.uplink.classes import ClassAsking
from hiertk_protocol.class_requests import ClassContract, GivenSlot
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.mqtt import Incoming, Request

CONTRACT = ClassContract(MANIFEST)


class Cloud:
    """Keeps what is asked: when, the name, and the correlation."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.now = 1000.0
        self.names = names
        self.asked: list[tuple[float, str, bytes]] = []
        self.told = Told()
        link = ClassLink(CONTRACT, lambda: self.names, lambda _payload: None)
        self.asking = ClassAsking(link, "reply/here", self._publish, self.told)
        monkeypatch.setattr("hiertk_edge.uplink.classes.time.monotonic", lambda: self.now)

    def _publish(self, payload: bytes, request: Request) -> bool:
        assert request.reply_to == "reply/here"
        self.asked.append((self.now, CONTRACT.read_request(payload), request.correlation))
        return True

    def run(self, seconds: float) -> list[float]:
        """Let time pass; return the pauses between requests."""
        until, before = self.now + seconds, len(self.asked)
        while self.now < until:
            self.asking.ask_if_due()
            self.now = min(until, max(self.asking.due, self.now + 0.01))
        times = [at for at, _, _ in self.asked[before:]]
        return [later - at for at, later in itertools.pairwise(times)]

    def answer(self, payload: bytes) -> None:
        self.asking.take(Incoming("reply/here", payload, self.asked[-1][2]))


def test_without_an_answer_it_asks_again_after_ever_longer_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cloud = Cloud(monkeypatch, "cup")
    assert cloud.run(300) == pytest.approx([2, 4, 8, 16, 32, 60, 60, 60])
    cloud.asking.start_over()
    assert cloud.run(10) == pytest.approx([2, 4]), "the cloud came back"


def test_all_provisional_classes_are_asked_for_and_those_with_a_slot_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cloud = Cloud(monkeypatch, "cup", "hat")
    cloud.run(1)
    assert [name for _, name, _ in cloud.asked] == ["cup", "hat"]
    cloud.names = ("hat",)
    cloud.run(3)
    assert [name for _, name, _ in cloud.asked] == ["cup", "hat", "hat"]
    cloud.names = ()
    assert cloud.run(500) == []


def test_a_refusal_is_told_until_there_is_a_slot_and_makes_it_ask_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cloud = Cloud(monkeypatch, "cup")
    cloud.run(1)
    cloud.answer(CONTRACT.refusal("all slots are taken"))
    assert any("all slots are taken" in line for line in cloud.told.lines)
    assert cloud.run(59) == []
    cloud.run(2)
    assert len(cloud.asked) == 2
    cloud.answer(CONTRACT.reply(GivenSlot(3, 2)))
    assert cloud.told.lines == ()


def test_replies_that_nobody_asked_for_are_ignored_and_broken_ones_are_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cloud = Cloud(monkeypatch, "cup")
    cloud.run(1)
    cloud.asking.take(Incoming("reply/here", CONTRACT.refusal("no"), b"another"))
    cloud.asking.take(Incoming("reply/here", CONTRACT.refusal("no")))
    assert cloud.told.lines == ()
    with pytest.raises(ProtocolError):
        cloud.answer(CONTRACT.reply(GivenSlot(1 << 20, 2)))
