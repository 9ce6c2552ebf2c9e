"""The service: broker, ingest, log and trainer put together, until it is stopped.

Three threads beside the main one: the link's own, the writer of the log, and the trainer. The
main thread reports, and takes the signal to stop; so a step is never torn in two.
"""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.hiertk_pb2 import ModelStatus
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.mqtt import BrokerAddress, Handlers, MqttLink, Will
from hiertk_protocol.topics import Topics
from torch import nn

from hiertk_cloud.batches import BatchSource
from hiertk_cloud.ingest import MAX_PAYLOAD_BYTES, Ingest
from hiertk_cloud.learner import CloudLearner
from hiertk_cloud.log import DurableLog
from hiertk_cloud.log_reader import LogReader
from hiertk_cloud.report import Reporter
from hiertk_cloud.state import lock_state
from hiertk_cloud.status import Snapshot, class_map
from hiertk_cloud.trainer import Trainer, TrainerSettings
from hiertk_cloud.worker import Worker

_STATUS_EVERY_S = 1.0
_LINE_EVERY_S = 5.0
_IDLE_S = 0.2


@dataclass(frozen=True)
class ServiceSettings:
    """Settings of one service. threads: of torch.

    trusted_factory: the one `package.module:factory` that the bundle may name, since it is run.
    """

    learning_rate: float = 1e-3
    threads: int = 1
    trusted_factory: str | None = None
    trainer: TrainerSettings = field(default_factory=TrainerSettings)


def serve(
    bundle: Bundle,
    broker: BrokerAddress,
    state: Path,
    settings: ServiceSettings,
    reporter: Reporter,
) -> None:
    """Run the service of a bundle until it is interrupted. Raises HiertkError."""
    from hiertk.models import load_cloud_partition

    module = load_cloud_partition(bundle, trusted_factory=settings.trusted_factory)
    with open_service(
        bundle.manifest,
        module,
        broker=broker,
        state=state,
        settings=settings,
        reporter=reporter,
    ) as service:
        service.run()


@contextmanager
def open_service(
    manifest: Manifest,
    module: nn.Module,
    *,
    broker: BrokerAddress,
    state: Path,
    settings: ServiceSettings,
    reporter: Reporter,
) -> Iterator["CloudService"]:
    """Open the state folder, and yield a service that goes on where the last one stopped.

    Raises ConfigError if the folder is in use or of another bundle, StorageError if it is damaged.
    """
    torch.set_num_threads(settings.threads)
    bundle_id = manifest.bundle_id
    with (
        lock_state(state) as folder,
        closing(DurableLog(folder.log, bundle_id)) as log,
        closing(LogReader(folder.log)) as reader,
    ):
        trainer = Trainer(
            CloudLearner(module, manifest, settings.learning_rate),
            BatchSource(reader, manifest),
            settings.trainer,
            checkpoint=folder.checkpoint,
            bundle_id=bundle_id,
            on_skip=lambda position, reason: reporter.say(
                "skipped", f"batch {position} of the log is skipped: {reason}", position=position
            ),
        )
        yield CloudService(manifest, log, trainer, broker, reporter)


class CloudService:
    """One deployment's cloud side, once its state is open."""

    def __init__(
        self,
        manifest: Manifest,
        log: DurableLog,
        trainer: Trainer,
        broker: BrokerAddress,
        reporter: Reporter,
    ) -> None:
        self._manifest = manifest
        self._topics = Topics(manifest.deployment)
        self._log = log
        self._trainer = trainer
        self._broker = broker
        self._reporter = reporter
        self._incarnation = secrets.randbits(64)
        self._told: set[str] = set()
        offline = ModelStatus(state=ModelStatus.OFFLINE, incarnation=self._incarnation)
        self._last_words = Will(self._topics.model, offline.SerializeToString())
        self._link = MqttLink(
            broker,
            client_id=f"hiertk-cloud-{manifest.deployment}",
            subscriptions=(self._topics.features("+"),),
            will=self._last_words,
            handlers=Handlers(self._receive, self._on_up, self._on_down),
            max_message_bytes=MAX_PAYLOAD_BYTES,
        )
        self._ingest = Ingest(log, manifest, publish=self._link.publish, tell=self._tell_once)
        self._alarm = threading.Event()
        self._writer = Worker("writer", self._ingest.turn, self._alarm)
        self._learning = Worker("trainer", self._advance, self._alarm)

    def run(self) -> None:
        """Serve until Ctrl-C or SIGTERM, then checkpoint and say goodbye. Raises HiertkError."""
        self._say_start()
        self._writer.start()
        self._learning.start()
        self._link.start()
        try:
            self._supervise()
        except KeyboardInterrupt:
            self._reporter.say("stopping", "stopping: the batch in work, then a checkpoint")
        finally:
            self._shut_down()

    def _supervise(self) -> None:
        told = self._snapshot()
        line_due = time.monotonic() + _LINE_EVERY_S
        while not self._alarm.wait(_STATUS_EVERY_S):
            self._publish_status()
            now = self._snapshot()
            if time.monotonic() >= line_due and now != told:
                line_due = time.monotonic() + _LINE_EVERY_S
                told = now
                self._reporter.say("progress", now.line(), **now.fields())
        self._writer.check()
        self._learning.check()

    def _shut_down(self) -> None:
        self._learning.stop()
        self._writer.stop()
        self._link.stop(last_words=self._last_words)
        # A worker that failed may have left a step half done: the last checkpoint stands.
        self._learning.check()
        self._trainer.save()
        now = self._snapshot()
        self._reporter.say("stopped", f"stopped at {now.line()}", **now.fields())

    def _advance(self) -> None:
        if not self._trainer.advance():
            self._ingest.arrived.wait(_IDLE_S)
            self._ingest.arrived.clear()

    def _receive(self, topic: str, payload: bytes) -> None:
        self._ingest.receive(topic, payload)

    def _on_up(self) -> None:
        self._reporter.say("up", f"connected to {self._broker}")
        self._link.publish(
            self._topics.class_map, class_map(self._manifest).SerializeToString(), retain=True
        )
        self._publish_status()

    def _on_down(self, reason: str) -> None:
        self._reporter.say("down", f"{reason}: devices keep their batches, trying again")

    def _publish_status(self) -> None:
        message = self._snapshot().message(self._incarnation)
        self._link.publish(self._topics.model, message.SerializeToString(), retain=True)

    def _snapshot(self) -> Snapshot:
        # The progress first: the log is never behind it.
        progress = self._trainer.progress
        return Snapshot(
            progress=progress,
            measures=self._trainer.measures,
            totals=self._log.totals,
            dropped_total=self._ingest.dropped_total,
        )

    def _tell_once(self, kind: str, text: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._reporter.say(kind, f"{kind}: {text} (more of this kind are only counted)")

    def _say_start(self) -> None:
        now = self._snapshot()
        self._reporter.say(
            "started",
            f"deployment {self._manifest.deployment}: {now.totals.stored} batches stored, "
            f"cloud step {now.progress.cloud_step}, broker {self._broker}",
            deployment=self._manifest.deployment,
            **now.fields(),
        )
