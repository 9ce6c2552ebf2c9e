"""The service as a process, over a real broker: acks, status, crash, clean stop."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from cloud_service.cloud_parts import (
    CLASSES,
    DEVICE,
    EPOCH,
    MANIFEST,
    OpenTrainer,
    assert_same_bits,
    make_message,
    make_module,
)
from hiertk.brokers import Broker
from hiertk_cloud.opening import open_service
from hiertk_cloud.report import Reporter
from hiertk_cloud.settings import ServiceSettings
from hiertk_cloud.training.trainer import TrainerSettings
from hiertk_protocol.errors import StorageError
from hiertk_protocol.hiertk_pb2 import Ack, ClassMap, FeatureBatch, ModelStatus
from hiertk_protocol.messages import parse_ack, parse_model_status
from hiertk_protocol.mqtt import parse_broker
from hiertk_protocol.topics import Topics
from mqtt_client import PlainClient, wait_until
from safetensors.torch import load_file

TESTS = Path(__file__).parent.parent
TOPICS = Topics(MANIFEST.deployment)
SETTINGS = TrainerSettings(replay=2, checkpoint_every=10)


class Service:
    """serve_small.py, and its lines."""

    def __init__(self, broker: Broker, state: Path) -> None:
        self.output = state.with_suffix(".out")
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, TESTS / "cloud_service/serve_small.py", broker.url, state],
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": str(TESTS)},
            )

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(timeout=10)

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.output.read_text().splitlines()]


@contextmanager
def running(broker: Broker, state: Path) -> Iterator[Service]:
    service = Service(broker, state)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.end(signal.SIGKILL)


@contextmanager
def device(broker: Broker, *topics: str) -> Iterator[PlainClient]:
    with PlainClient(broker.url, *(topics or (TOPICS.ack(DEVICE), TOPICS.model))) as client:
        yield client


def next_status(client: PlainClient, *, consumed: int = 0) -> ModelStatus:
    """Wait for a status with at least so many batches consumed."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        message = client.receive()
        if message.topic == TOPICS.model:
            status = parse_model_status(bytes(message.payload))
            if status.state == ModelStatus.ONLINE and status.consumed_total >= consumed:
                return status
    raise AssertionError(f"{consumed} batches were not consumed")


def wait_for_ack(client: PlainClient, through: int) -> Ack:
    while True:
        message = client.receive()
        if message.topic == TOPICS.ack(DEVICE):
            ack = parse_ack(bytes(message.payload))
            if ack.through >= through:
                return ack


def send(client: PlainClient, *messages: FeatureBatch) -> None:
    for message in messages:
        client.publish(TOPICS.features(DEVICE), message.SerializeToString())


def test_batches_are_acknowledged_trained_on_and_measured_until_a_clean_stop(
    mosquitto: Broker, tmp_path: Path
) -> None:
    with running(mosquitto, tmp_path / "state") as service, device(mosquitto) as client:
        status = next_status(client)
        assert status.incarnation
        assert math.isnan(status.final_exit_held_out_accuracy)
        assert status.max_message_bytes == 120 * 1024
        client.publish(TOPICS.features(DEVICE), b"garbage")
        send(client, *(make_message(seq) for seq in range(1, 13)))
        spoiled = make_message(13)
        spoiled.labels[0] = 7
        send(client, spoiled, make_message(14, held_out=True), make_message(1))
        ack = wait_for_ack(client, 14)
        assert ack.epoch == EPOCH
        status = next_status(client, consumed=13)
        assert (status.stored_total, status.trained_total) == (13, 12)
        assert status.cloud_step == 12
        assert (status.refused_total, status.duplicates_total) == (1, 1)
        assert status.final_exit_loss > 0
        assert 0 <= status.final_exit_held_out_accuracy <= 1
        assert service.end(signal.SIGTERM) == 0
        assert service.events()[-2:] == ["stopping", "stopped"]
    with device(mosquitto, TOPICS.model) as late:
        last = parse_model_status(bytes(late.receive().payload))
    assert last == ModelStatus(state=ModelStatus.OFFLINE, incarnation=status.incarnation)
    with device(mosquitto, TOPICS.class_map) as late:
        class_map = ClassMap.FromString(bytes(late.receive().payload))
    assert class_map.version == 1
    assert [(one.slot, one.name) for one in class_map.slots] == list(enumerate(CLASSES))


def test_killed_at_work_it_loses_nothing_and_trains_nothing_twice(
    mosquitto: Broker, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    messages = [make_message(seq, held_out=seq % 7 == 0) for seq in range(1, 61)]
    with device(mosquitto) as client:
        with running(mosquitto, state) as first:
            incarnation = next_status(client).incarnation
            send(client, *messages[:40])
            next_status(client, consumed=20)
            first.end(signal.SIGKILL)
            assert (state / "checkpoint.safetensors").exists()
        with running(mosquitto, state) as second:
            while next_status(client).incarnation == incarnation:
                pass
            send(client, *messages)
            wait_for_ack(client, 60)
            status = next_status(client, consumed=60)
            assert (status.stored_total, status.trained_total) == (60, 52)
            assert second.end(signal.SIGTERM) == 0
    with OpenTrainer(state, SETTINGS) as resumed:
        assert resumed.trainer.progress.turn == 60
        trained = resumed.state()
    (state / "checkpoint.safetensors").rename(tmp_path / "trained.safetensors")
    with OpenTrainer(state, SETTINGS) as uninterrupted:
        uninterrupted.consume_all()
        assert_same_bits(trained, uninterrupted.state())
        uninterrupted.trainer.save()
    saved = load_file(state / "checkpoint.safetensors")
    assert_same_bits(load_file(tmp_path / "trained.safetensors"), saved)


def test_it_waits_for_the_broker_and_ends_when_the_log_fails(
    mosquitto: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mosquitto.stop()
    state = tmp_path / "state"
    with (
        open_service(
            MANIFEST,
            make_module(),
            broker=parse_broker(mosquitto.url),
            state=state,
            settings=ServiceSettings(),
            reporter=Reporter(),
        ) as service,
        ThreadPoolExecutor() as pool,
    ):
        outcome = pool.submit(service.run)
        wait_until(lambda: "trying again" in capsys.readouterr().out)
        mosquitto.start()
        with device(mosquitto) as client:
            next_status(client)
            send(client, *(make_message(seq) for seq in range(1, 101)))
            wait_for_ack(client, 100)
        (state / "log.sqlite").write_bytes(b"overwritten " * 10_000)
        (state / "log.sqlite-wal").write_bytes(b"")
        with device(mosquitto) as client:
            send(client, make_message(101))
        with pytest.raises(StorageError, match=r"log\.sqlite"):
            outcome.result(timeout=15)
