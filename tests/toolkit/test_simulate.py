"""Simulated devices against a real broker: a cloud takes their messages for those of real ones."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hiertk.brokers import Broker, MosquittoBroker, find_mosquitto
from hiertk.simulate import SimulationSettings, simulate
from hiertk.simulate.device import SimulatedDevice
from hiertk.simulate.messages import make_features
from hiertk_cloud.ingest.ingest import Ingest
from hiertk_cloud.log import DurableLog
from hiertk_protocol.bundle import MANIFEST
from hiertk_protocol.errors import ConfigError, ProtocolError, TransportError
from hiertk_protocol.hiertk_pb2 import Ack, DeviceStatus, ModelStatus, Refusal
from hiertk_protocol.messages import FeatureContract, parse_device_status
from hiertk_protocol.mqtt import Handlers, Incoming, MqttLink, Will, parse_broker
from hiertk_protocol.topics import Topics
from mqtt_client import PATIENCE_S, PlainClient, wait_until

from cloud_service import cloud_parts

TOPICS = Topics(cloud_parts.MANIFEST.deployment)
ONLINE = ModelStatus(state=ModelStatus.ONLINE, incarnation=1).SerializeToString()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / MANIFEST).write_bytes(cloud_parts.MANIFEST.to_json())
    return folder


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Broker]:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    with MosquittoBroker(tmp_path / "broker") as running:
        yield running


@contextmanager
def ingesting(broker: Broker, folder: Path) -> Iterator[DurableLog]:
    """The cloud's own ingest, without a trainer."""
    up, stopping = threading.Event(), threading.Event()

    def receive(incoming: Incoming) -> None:
        ingest.receive(incoming.topic, incoming.payload)

    link = MqttLink(
        parse_broker(broker.url),
        client_id="cloud",
        subscriptions=(TOPICS.features("+"),),
        will=Will(TOPICS.model, ModelStatus().SerializeToString()),
        handlers=Handlers(receive, up.set, lambda _reason: None),
        max_message_bytes=1 << 20,
    )

    def write() -> None:
        while not stopping.is_set():
            ingest.turn()

    with closing(DurableLog(folder / "log.sqlite", cloud_parts.MANIFEST.bundle_id)) as log:
        ingest = Ingest(
            log, cloud_parts.MANIFEST, publish=link.publish, tell=lambda _kind, _text: None
        )
        writer = threading.Thread(target=write)
        link.start()
        assert up.wait(PATIENCE_S)
        link.publish(TOPICS.model, ONLINE, retain=True)
        writer.start()
        try:
            yield log
        finally:
            stopping.set()
            writer.join()
            link.stop()


def settings(bundle: Path, broker: Broker, **changes: float) -> SimulationSettings:
    fields = {"devices": 5, "rate": 10.0, "seconds": 1.0, "message_bytes": 4096, **changes}
    return SimulationSettings(bundle=bundle, broker=parse_broker(broker.url), **fields)  # type: ignore[arg-type]


def new_device() -> SimulatedDevice:
    return SimulatedDevice(TOPICS, "sim-0000", make_features(cloud_parts.MANIFEST, 2048, seed=0))


def test_messages_are_valid_and_about_as_large_as_asked() -> None:
    device = new_device()
    device.take(TOPICS.model, ONLINE, 0.0)
    device.make_batch()
    (payload,) = device.to_send(0.0)
    assert 0.5 * 2048 < len(payload) < 1.25 * 2048 + 200
    contract = FeatureContract(cloud_parts.MANIFEST)
    batch = contract.check(contract.parse(payload))
    assert (batch.key.device, batch.key.seq, batch.floor) == ("sim-0000", 1, 1)


def test_a_device_sends_again_what_is_not_acknowledged() -> None:
    device = new_device()
    device.make_batch()
    assert device.to_send(0.0) == []  # the cloud is not there yet
    device.take(TOPICS.model, ONLINE, 0.0)
    assert len(device.to_send(0.0)) == 1
    assert device.to_send(1.0) == []
    assert len(device.to_send(60.0)) == 1
    assert (device.sent, device.sent_again, device.acknowledged) == (2, 1, 0)
    restarted = ModelStatus(state=ModelStatus.ONLINE, incarnation=2).SerializeToString()
    device.take(TOPICS.model, restarted, 61.0)
    assert len(device.to_send(61.0)) == 1


def test_acks_are_counted_once_with_their_wait_and_refusals_apart() -> None:
    device = new_device()
    device.take(TOPICS.model, ONLINE, 0.0)
    for _ in range(3):
        device.make_batch()
    assert len(device.to_send(1.0)) == 3
    ack = Ack(epoch=device._epoch, through=2, refused=[Refusal(seq=2, reason="no")])
    for now in (1.5, 2.0):
        device.take(TOPICS.ack(device.name), ack.SerializeToString(), now)
    assert (device.acknowledged, device.refused, device.reasons) == (1, 1, {"no"})
    assert device.waits_s == [0.5]
    assert not device.is_drained
    with pytest.raises(ProtocolError, match="another epoch"):
        device.take(TOPICS.ack(device.name), Ack(epoch=1).SerializeToString(), 2.0)


def test_every_message_is_stored_once_and_acknowledged(
    mosquitto: Broker, bundle: Path, tmp_path: Path
) -> None:
    with (
        ingesting(mosquitto, tmp_path) as log,
        PlainClient(mosquitto.url, TOPICS.status("+")) as client,
    ):
        outcome = simulate(settings(bundle, mosquitto))
        assert log.totals.stored == outcome.made == outcome.acknowledged
        assert 40 <= outcome.made <= 60
        assert (outcome.refused, outcome.left, outcome.dropped) == (0, 0, 0)
        assert outcome.ack_wait_ms_median is not None
        assert 0 < outcome.ack_wait_ms_median <= (outcome.ack_wait_ms_max or 0)
        states: dict[str, int] = {}
        while list(states.values()) != [DeviceStatus.FINISHED] * 5:
            message = client.receive()
            states[message.topic] = parse_device_status(bytes(message.payload)).state


def test_idle_devices_only_say_that_they_are_there(mosquitto: Broker, bundle: Path) -> None:
    with PlainClient(mosquitto.url, TOPICS.status("+"), TOPICS.features("+")) as client:
        outcome = simulate(settings(bundle, mosquitto, rate=0.0, seconds=0.5))
        topics = {client.receive().topic for _ in range(5)}
    assert topics == {TOPICS.status(f"sim-{number:04d}") for number in range(5)}
    assert (outcome.made, outcome.sent, outcome.cloud_was_online) == (0, 0, False)


def test_a_broker_that_is_not_there_is_one_line(mosquitto: Broker, bundle: Path) -> None:
    mosquitto.stop()
    with pytest.raises(TransportError, match="cannot be reached"):
        simulate(settings(bundle, mosquitto))


def test_a_broker_that_goes_away_is_one_line(mosquitto: Broker, bundle: Path) -> None:
    timer = threading.Timer(0.5, mosquitto.kill)
    timer.start()
    with pytest.raises(TransportError, match="sim-000"):
        simulate(settings(bundle, mosquitto, seconds=20.0))
    timer.join()


def test_too_small_a_message_is_refused(mosquitto: Broker, bundle: Path) -> None:
    with pytest.raises(ConfigError, match="--devices 0"):
        simulate(settings(bundle, mosquitto, devices=0))


def test_ctrl_c_ends_it_with_a_report(mosquitto: Broker, bundle: Path) -> None:
    command = [sys.executable, "-c", "from hiertk_protocol import console; import typer; "]
    command[-1] += "from hiertk.commands.simulate import simulate; import sys; "
    command[-1] += "app = typer.Typer(); app.command()(simulate); console.run(app)"
    with PlainClient(mosquitto.url, TOPICS.status("+")) as client:
        process = subprocess.Popen(
            [*command, "--bundle", bundle, "--broker", mosquitto.url, "--rate", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        client.receive()
        wait_until(lambda: process.poll() is None)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, errors
    assert json.loads(output)["was_interrupted"]
