"""A running service's classes, over a real broker: requests, the retained map, confirmations."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from cloud_service.cloud_parts import CLASSES, DEVICE, MANIFEST, SLOTS, make_message, make_module
from hiertk.brokers import Broker
from hiertk_cloud.classes.registry import ClassRegistry
from hiertk_cloud.opening import open_service
from hiertk_cloud.report import Reporter
from hiertk_cloud.service import CloudService
from hiertk_cloud.settings import ServiceSettings
from hiertk_cloud.training.checkpoint import read_progress
from hiertk_protocol.class_map import ClassMap, parse_class_map
from hiertk_protocol.class_requests import ClassContract, GivenSlot
from hiertk_protocol.errors import StorageError
from hiertk_protocol.hiertk_pb2 import ClassReply, DeviceStatus
from hiertk_protocol.messages import NEW_CLASS
from hiertk_protocol.mqtt import parse_broker
from hiertk_protocol.topics import Topics
from mqtt_client import PlainClient, wait_until
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

TOPICS = Topics(MANIFEST.deployment)
CONTRACT = ClassContract(MANIFEST)


@contextmanager
def opened(broker: Broker, state: Path) -> Iterator[CloudService]:
    with open_service(
        MANIFEST,
        make_module(),
        broker=parse_broker(broker.url),
        state=state,
        settings=ServiceSettings(),
        reporter=Reporter(),
    ) as service:
        yield service


@contextmanager
def serving(broker: Broker, state: Path) -> Iterator[CloudService]:
    """Run a service in a thread, until the block ends as if interrupted."""
    ends = threading.Event()

    def each_second() -> None:
        if ends.is_set():
            raise KeyboardInterrupt

    with opened(broker, state) as service, ThreadPoolExecutor() as pool:
        outcome = pool.submit(service.run, each_second)
        try:
            yield service
        finally:
            ends.set()
            outcome.result(timeout=20)


def request(client: PlainClient, name: str) -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.CorrelationData = name.encode()
    topic = TOPICS.class_request(DEVICE)
    client.paho.publish(topic, CONTRACT.request(name), qos=1, properties=properties)


def ask(client: PlainClient, name: str) -> ClassReply:
    request(client, name)
    while True:
        message = client.receive()
        correlation = getattr(message.properties, "CorrelationData", b"")
        if message.topic == TOPICS.class_reply(DEVICE) and correlation == name.encode():
            reply: ClassReply = ClassReply.FromString(bytes(message.payload))
            return reply


def waiting_slots(registry: ClassRegistry) -> tuple[int, ...]:
    registry.refresh()
    return registry.free.waiting


def next_map(client: PlainClient, version: int) -> ClassMap:
    while True:
        message = client.receive()
        if message.topic == TOPICS.class_map:
            found = parse_class_map(bytes(message.payload), SLOTS)
            if found.version >= version:
                return found


def test_a_class_goes_from_a_request_to_every_device_and_its_slot_to_the_next_one(
    mosquitto: Broker, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    topics = (TOPICS.class_map, TOPICS.class_reply(DEVICE), TOPICS.ack(DEVICE))
    with serving(mosquitto, state) as service, PlainClient(mosquitto.url, *topics) as device:
        assert tuple(one.name for one in next_map(device, 1).slots) == CLASSES
        given = CONTRACT.read_reply(ask(device, "boot").SerializeToString())
        assert given == GivenSlot(3, 2)
        assert next_map(device, 2).by_slot[3].name == "boot"

        message = make_message(1)
        message.labels[0] = NEW_CLASS
        message.new_classes.append("bag")
        device.publish(TOPICS.features(DEVICE), message.SerializeToString())
        assert next_map(device, 3).by_slot[4].name == "bag"

        with closing(ClassRegistry.existing(state / "classes.sqlite")) as command:
            command.retire("boot")
            assert next_map(device, 4).find("boot") is None
            wait_until(lambda: waiting_slots(command) == (3,))
            status = DeviceStatus(state=DeviceStatus.TRAINING, class_map_version=4)
            device.publish(TOPICS.status(DEVICE), status.SerializeToString(), retain=True)
            wait_until(lambda: waiting_slots(command) == ())
        assert CONTRACT.read_reply(ask(device, "hat").SerializeToString()) == GivenSlot(3, 5)

        wait_until(lambda: service.view.snapshot().progress.turn == 1)
        shown = service.view.classes()
        assert (shown.newest.version, shown.confirmed) == (5, {DEVICE: 4})
        assert (shown.requests_answered, shown.requests_refused) == (2, 0)
    progress = read_progress(state / "checkpoint.safetensors", MANIFEST.bundle_id)
    assert progress is not None
    assert (progress.class_map_version, progress.left_out_total) == (3, 0)
    with serving(mosquitto, state), PlainClient(mosquitto.url, TOPICS.class_map) as late:
        assert next_map(late, 5).by_slot[3].name == "hat"


def test_a_hundred_requests_a_second_are_refused_with_a_reason_and_the_service_lives(
    mosquitto: Broker, tmp_path: Path
) -> None:
    topics = (TOPICS.class_reply(DEVICE), TOPICS.ack(DEVICE))
    with serving(mosquitto, tmp_path) as service, PlainClient(mosquitto.url, *topics) as device:
        wait_until(lambda: service.view.health().is_connected)
        for number in range(100):
            request(device, f"class {number}")
        wait_until(lambda: service.view.classes().requests_refused >= 80)
        replies = [ClassReply.FromString(bytes(device.receive().payload)) for _ in range(8)]
        assert "too many requests: one a second is answered" in {one.error for one in replies}
        device.publish(TOPICS.features(DEVICE), make_message(1).SerializeToString())
        while device.receive().topic != TOPICS.ack(DEVICE):
            pass
    assert service.view.classes().requests_answered < 20


def test_a_registry_older_than_the_checkpoint_is_refused(mosquitto: Broker, tmp_path: Path) -> None:
    with serving(mosquitto, tmp_path) as service:
        message = make_message(1)
        message.labels[0] = NEW_CLASS
        message.new_classes.append("bag")
        wait_until(lambda: service.view.health().is_connected)
        with PlainClient(mosquitto.url) as device:
            device.publish(TOPICS.features(DEVICE), message.SerializeToString())
        wait_until(lambda: service.view.snapshot().progress.turn == 1)
    (tmp_path / "classes.sqlite").unlink()
    with pytest.raises(StorageError, match="class map 2"), opened(mosquitto, tmp_path):
        raise AssertionError("it began without its classes")
