"""A whole deployment of real processes, and what they left on disk."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import books
from books import Key
from hiertk.brokers import Broker
from hiertk.demo.processes import Child, Children
from hiertk_cloud.training.progress import Progress
from hiertk_cloud.training.trainer import TrainerSettings
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.hiertk_pb2 import DeviceStatus, FeatureBatch, ModelStatus
from hiertk_protocol.messages import parse_device_status, parse_model_status
from hiertk_protocol.topics import Topics
from mqtt_client import PlainClient, wait_until
from safetensors import safe_open

DEVICES = ("pi-1", "pi-2")
BATCH_SIZE = 8
IMAGES = 64
EPOCHS = 2
BATCHES = EPOCHS * IMAGES // BATCH_SIZE
CLOUD_TRAINING = TrainerSettings(replay=1, checkpoint_every=4)
LEARNING_RATE = 1e-3
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Deployment:
    """A cloud and devices around one broker. images: holds one folder for each device."""

    folder: Path
    bundle: Bundle
    images: Path
    broker: Broker
    children: Children

    @property
    def topics(self) -> Topics:
        return Topics(self.bundle.manifest.deployment)

    @property
    def cloud_log(self) -> Path:
        return self.folder / "cloud" / "log.sqlite"

    @property
    def cloud_checkpoint(self) -> Path:
        return self.folder / "cloud" / "checkpoint.safetensors"

    def start_cloud(self, *options: str) -> Child:
        return self._start(
            "cloud", "hiertk_cloud", "serve",
            "--bundle", str(self.bundle.folder), "--broker", self.broker.url,
            "--state", str(self.folder / "cloud"), "--learning-rate", str(LEARNING_RATE),
            "--replay", str(CLOUD_TRAINING.replay),
            "--checkpoint-every", str(CLOUD_TRAINING.checkpoint_every), "--api", "", "--json",
            *options,
        )  # fmt: skip

    def start_ready_cloud(self) -> Child:
        """Start the cloud and wait until it takes batches."""
        cloud = self.start_cloud()
        wait_until(lambda: '"event": "up"' in cloud.log.read_text(), PATIENCE_S)
        return cloud

    def start_device(self, name: str, *options: str, broker: str | None = None) -> Child:
        return self._start(
            name, "hiertk_edge", "run",
            "--bundle", str(self.bundle.folder), "--broker", broker or self.broker.url,
            "--device", name, "--state", str(self.folder / name),
            "--data", f"folder:{self.images / name}", "--epochs", str(EPOCHS),
            "--batch-size", str(BATCH_SIZE), "--checkpoint-every", "5", "--checkpoint-seconds", "0",
            "--json", *options,
        )  # fmt: skip

    def wait_until_trained(self, batches: int) -> None:
        """Wait until the cloud says that it has consumed so many batches."""
        with PlainClient(self.broker.url, self.topics.model) as client:
            wait_until(
                lambda: (
                    parse_model_status(bytes(client.receive().payload)).consumed_total >= batches
                ),
                PATIENCE_S,
            )

    def retained_device_status(self, name: str) -> DeviceStatus:
        with PlainClient(self.broker.url, self.topics.status(name)) as late:
            return parse_device_status(bytes(late.receive().payload))

    def retained_model_status(self) -> ModelStatus:
        with PlainClient(self.broker.url, self.topics.model) as late:
            return parse_model_status(bytes(late.receive().payload))

    def trained(self, device: str) -> int:
        """Return how many training batches a device has put into its spool."""
        return books.consumed(self._spool(device))

    def held(self, device: str) -> int:
        """Return how many messages wait in a device's spool."""
        return books.held(self._spool(device))

    def put(self, device: str) -> list[Key]:
        """Return the key of every batch that a device ever put into its spool, in order."""
        return books.put(self._spool(device))

    def stored(self) -> list[Key]:
        """Return the keys of all batches in the cloud's log."""
        return books.stored(self.cloud_log)

    def stored_from(self, device: str) -> int:
        return sum(key[0] == device for key in self.stored())

    def stored_messages(self, device: str) -> Iterator[FeatureBatch]:
        """Yield what the cloud has from a device, in the order in which it was put."""
        columns = "message FROM batches JOIN messages USING (position)"
        query = f"SELECT {columns} WHERE device = '{device}' ORDER BY seq"
        for (message,) in books.read(self.cloud_log, query):
            yield FeatureBatch.FromString(message)

    def cloud_progress(self) -> Progress:
        """Return the progress that the cloud's checkpoint names."""
        with safe_open(self.cloud_checkpoint, "pt") as file:
            return Progress.model_validate_json(file.metadata()["progress"])

    def train_without_interruption(self, checkpoint: Path) -> None:
        """Train a new cloud partition on the whole log from its beginning, and save it."""
        books.train_on(
            self.cloud_log,
            self.bundle,
            CLOUD_TRAINING,
            learning_rate=LEARNING_RATE,
            checkpoint=checkpoint,
        )

    def _start(self, name: str, module: str, *arguments: str) -> Child:
        # Each start has an output of its own.
        return self.children.start(f"{name}.{len(self.children.started)}", module, *arguments)

    def _spool(self, device: str) -> Path:
        return self.folder / device / "spool.sqlite"


def wait_for_end(child: Child) -> int:
    """Wait until a process ends by itself and return its exit code."""
    return child.process.wait(PATIENCE_S)


def end(child: Child, how: signal.Signals) -> int:
    """Send a signal that ends a process and return its exit code."""
    child.process.send_signal(how)
    return wait_for_end(child)


def summary(device: Child) -> dict[str, Any]:
    """Return what a device said at its end."""
    found: dict[str, Any] = json.loads(device.log.read_text().splitlines()[-1])
    assert found["event"] == "summary"
    return found


def finish(deployment: Deployment, cloud: Child, *, batches: int) -> None:
    """Wait until the cloud has consumed everything, end it, and check that all came once."""
    deployment.wait_until_trained(batches)
    assert end(cloud, signal.SIGTERM) == 0
    check_each_batch_once(deployment, batches=batches)


def check_each_batch_once(deployment: Deployment, *, batches: int) -> None:
    """Check by key, on disk: all that devices put is stored, and nothing else, and consumed."""
    devices = [name for name in DEVICES if (deployment.folder / name).exists()]
    put = [key for name in devices for key in deployment.put(name)]
    assert len(put) == batches
    assert deployment.stored() == put
    assert [deployment.held(name) for name in devices] == [0] * len(devices)
    query = "SELECT count(train_number), max(train_number) FROM batches"
    ((training, last),) = books.read(deployment.cloud_log, query)
    progress = deployment.cloud_progress()
    assert progress.turn == len(put)
    assert progress.trained_total == training == last
    assert progress.skipped_total == 0
