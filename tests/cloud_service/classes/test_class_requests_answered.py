"""Requests for slots: answered with a slot or a reason, bounded, each device for itself."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cloud_service.classes.class_parts import open_registry
from cloud_service.cloud_parts import DEVICE, MANIFEST
from hiertk_cloud.classes.classes import ExportedClasses
from hiertk_cloud.classes.confirmations import Confirmations
from hiertk_cloud.classes.registry import ClassRegistry
from hiertk_cloud.classes.requests import ClassRequests
from hiertk_cloud.requests.desk import RequestTotals
from hiertk_protocol.class_requests import ClassContract, GivenSlot
from hiertk_protocol.hiertk_pb2 import ClassReply, ClassRequest, DeviceStatus
from hiertk_protocol.mqtt import Incoming, Request
from hiertk_protocol.topics import Topics

TOPICS = Topics(MANIFEST.deployment)
CONTRACT = ClassContract(MANIFEST)


class Asked:
    """Requests with everything around them: what was sent, what was told."""

    def __init__(self, registry: ClassRegistry | ExportedClasses) -> None:
        self.sent: list[tuple[str, ClassReply, bytes]] = []
        self.told: list[tuple[str, str]] = []
        self.requests = ClassRequests(
            MANIFEST,
            registry,
            publish=self._publish,
            tell=lambda kind, text: self.told.append((kind, text)),
        )

    def ask(self, payload: bytes, *, device: str = DEVICE, correlation: bytes = b"1") -> None:
        self.requests.receive(Incoming(TOPICS.class_request(device), payload, correlation))

    def _publish(self, topic: str, payload: bytes, *, request: Request) -> None:
        assert request.expires_s > 0
        self.sent.append((topic, ClassReply.FromString(payload), request.correlation))


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[ClassRegistry]:
    with closing(open_registry(tmp_path)) as opened:
        yield opened


@pytest.fixture
def asked(registry: ClassRegistry) -> Asked:
    return Asked(registry)


def test_the_reply_gives_the_slot_to_whoever_asked(asked: Asked) -> None:
    for device in ("pi-1", "pi-2"):
        asked.ask(CONTRACT.request("boot"), device=device, correlation=device.encode())
    asked.requests.turn()
    assert [(topic, tag) for topic, _, tag in asked.sent] == [
        (TOPICS.class_reply(device), device.encode()) for device in ("pi-1", "pi-2")
    ]
    for _, reply, _ in asked.sent:
        assert CONTRACT.read_reply(reply.SerializeToString()) == GivenSlot(3, 2)
    assert asked.requests.totals == RequestTotals(answered=2)


def of_another_bundle() -> bytes:
    payload: bytes = ClassRequest(bundle_id=bytes(32), name="boot").SerializeToString()
    return payload


def unclean(name: str) -> bytes:
    payload: bytes = ClassRequest(bundle_id=MANIFEST.bundle_id, name=name).SerializeToString()
    return payload


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"garbage", "class request: not a message"),
        (of_another_bundle(), "made with bundle 0000000000000000"),
        (unclean(""), "a class name is empty"),
        (unclean("a\x1b[2J"), "characters that cannot be shown"),
        (unclean("x" * 3000), "3000 characters, at most 200"),
        (unclean("x" * 10_000), "bytes, more than 4096"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(
    asked: Asked, registry: ClassRegistry, payload: bytes, reason: str
) -> None:
    asked.ask(payload)
    asked.requests.turn()
    ((_, reply, tag),) = asked.sent
    assert reason in reply.error
    assert tag == b"1"
    assert asked.requests.totals == RequestTotals(refused=1)
    assert asked.told[0][0] == "refused-class-request"
    assert registry.history.newest.version == 1


@pytest.mark.parametrize(
    "incoming",
    [
        Incoming(TOPICS.class_request(DEVICE), CONTRACT.request("boot"), b""),
        Incoming(TOPICS.class_request(DEVICE), CONTRACT.request("boot"), bytes(65)),
        Incoming(f"{TOPICS.root}/no device/up/classes", CONTRACT.request("boot"), b"1"),
    ],
)
def test_what_no_reply_could_name_is_counted_and_left(asked: Asked, incoming: Incoming) -> None:
    asked.requests.receive(incoming)
    asked.requests.turn()
    assert asked.sent == []
    assert asked.requests.totals == RequestTotals(unusable=1)


def test_a_hundred_requests_at_once_are_refused_and_harm_nobody_else(
    asked: Asked, registry: ClassRegistry
) -> None:
    for number in range(100):
        asked.ask(CONTRACT.request(f"class {number}"), device="flood")
    asked.ask(CONTRACT.request("boot"), device="late")
    told = [reply.error for _, reply, _ in asked.sent]
    assert set(told) == {"too many requests: one a second is answered"}
    assert len(told) < 10  # a refusal is a message, too
    asked.sent.clear()
    asked.ask(b"garbage", device="third")
    asked.requests.turn()
    answers = {topic.split("/")[-3]: reply for topic, reply, _ in asked.sent}
    assert answers["late"].error == ""
    assert "not a message" in answers["third"].error
    totals = asked.requests.totals
    assert (totals.answered + totals.refused, totals.unusable) == (102, 0)
    assert totals.answered <= 6
    assert len(registry.changes) == totals.answered


def test_a_full_map_is_told_to_the_device(asked: Asked, registry: ClassRegistry) -> None:
    for number in range(5):
        registry.request(f"class {number}")
    asked.ask(CONTRACT.request("boot"))
    asked.requests.turn()
    assert "hiertk grow BUNDLE --class-capacity N" in asked.sent[0][1].error


def test_without_a_registry_only_exported_classes_have_a_slot() -> None:
    asked = Asked(ExportedClasses(MANIFEST.classes))
    asked.ask(CONTRACT.request("dog"))
    asked.ask(CONTRACT.request("boot"))
    asked.requests.turn()
    (_, dog, _), (_, boot, _) = asked.sent
    assert (dog.slot, dog.version, dog.error) == (1, 1, "")
    assert "keeps the exported classes only" in boot.error


# What devices confirm


def status(version: int, state: DeviceStatus.State = DeviceStatus.TRAINING) -> DeviceStatus:
    return DeviceStatus(state=state, class_map_version=version)


def test_what_devices_say_of_the_map_is_kept_by_the_next_turn(registry: ClassRegistry) -> None:
    refused: list[tuple[str, str]] = []
    heard = Confirmations(registry, lambda device, why: refused.append((device, why)))
    registry.request("boot")
    heard.hear_status("up-to-date", status(2))
    heard.hear("up-to-date")
    heard.hear_status("old", status(1))
    heard.hear("sender")
    heard.hear_status("from-the-future", status(3))
    heard.hear_status("gone", status(2, DeviceStatus.OFFLINE))
    heard.hear_status("done", status(2, DeviceStatus.FINISHED))
    unchanged = registry.devices
    heard.turn()
    assert unchanged == ()
    assert {device.name: device.version for device in registry.devices} == {
        "up-to-date": 2,
        "old": 1,
        "sender": 0,
        "from-the-future": 0,
    }
    assert heard.refused_total == 1
    assert refused[0][0] == "from-the-future"
    assert "class map 3, the newest is 2" in refused[0][1]


def test_a_status_that_says_nothing_new_is_not_written(registry: ClassRegistry) -> None:
    heard = Confirmations(registry, lambda _device, _why: None)
    heard.hear_status("a", status(1))
    heard.turn()
    (before,) = registry._database.execute("SELECT total_changes()").fetchone()
    heard._due = 0
    heard.hear_status("a", status(1))
    heard.hear("a")
    heard.turn()
    assert registry._database.execute("SELECT total_changes()").fetchone() == (before,)
