"""One rank's service: broker, ingest and log of its own, and rounds of training with the others.

Rank 0 alone speaks for the deployment: it publishes class map and model status.
"""

import os
import secrets
import signal
import threading
import time
from dataclasses import replace
from types import FrameType

from hiertk_protocol.class_map import exported_map
from hiertk_protocol.hiertk_pb2 import ModelStatus
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.mqtt import BrokerAddress, Handlers, Incoming, MqttLink, Will
from hiertk_protocol.topics import Topics

from hiertk_cloud.classes.classes import ExportedClasses
from hiertk_cloud.classes.requests import ClassRequests
from hiertk_cloud.distributed.exchange import RankReport
from hiertk_cloud.distributed.group import Group
from hiertk_cloud.distributed.opening import RankParts
from hiertk_cloud.ingest.ingest import Ingest
from hiertk_cloud.ingest.writing import Writing
from hiertk_cloud.report import Reporter
from hiertk_cloud.settings import ServiceSettings
from hiertk_cloud.worker import Worker

_STATUS_EVERY_S = 1.0
_LINE_EVERY_S = 5.0
_IDLE_S = 0.1
_TICK_S = 0.1


class RankService:
    """One rank, once its state is open."""

    def __init__(
        self,
        group: Group,
        manifest: Manifest,
        parts: RankParts,
        *,
        broker: BrokerAddress,
        settings: ServiceSettings,
        reporter: Reporter,
    ) -> None:
        """Put it together. Raises ConfigError if the credentials do not fit the address."""
        self._group = group
        self._manifest = manifest
        self._topics = Topics(manifest.deployment)
        self._parts = parts
        self._broker = broker
        self._limits = settings.limits
        self._reporter = reporter
        self._told: set[str] = set()
        # One for all ranks: each one's will says that the deployment's cloud has gone.
        (text, *_) = group.gather_texts(str(secrets.randbits(64)))
        self._incarnation = int(text)
        offline = ModelStatus(state=ModelStatus.OFFLINE, incarnation=self._incarnation)
        self._last_words = Will(self._topics.model, offline.SerializeToString())
        self._link = MqttLink(
            broker,
            client_id=f"hiertk-cloud-{manifest.deployment}-{group.rank}",
            subscriptions=(self._topics.features("+"), self._topics.class_request("+")),
            will=self._last_words,
            handlers=Handlers(self._receive, self._on_up, self._on_down),
            max_message_bytes=settings.limits.payload_bytes,
            credentials=settings.credentials,
        )
        self._ingest = Ingest(
            parts.log,
            manifest,
            publish=self._link.publish,
            tell=self._tell_once,
            problems=Problems(self._say),
            limits=settings.limits,
            room=parts.room,
        )
        # No registry: its changes would have to reach every rank's log at the same turn.
        self._class_requests = ClassRequests(
            manifest,
            ExportedClasses(manifest.classes),
            publish=self._link.publish,
            tell=self._tell_once,
        )
        self._writing = Writing(self._ingest, parts.log)
        self._is_stopping = False
        self._finished = threading.Event()  # all ranks have agreed to stop, and saved
        self._alarm = threading.Event()
        self._writer = Worker("writer", self._write, self._alarm)
        self._learning = Worker("trainer", self._run_round, self._alarm)

    def run(self) -> None:
        """Serve until any rank gets SIGINT or SIGTERM; then all have saved. Raises HiertkError."""
        for number in (signal.SIGINT, signal.SIGTERM):
            # Without an exception: from a terminal a rank gets two of them, torchrun's being one.
            signal.signal(number, self._on_signal)
        totals = self._parts.log.totals
        self._say("started", f"{totals.stored} batches stored, broker {self._broker}")
        self._writer.start()
        self._learning.start()
        self._link.start()
        try:
            self._supervise()
        finally:
            self._shut_down()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._is_stopping = True

    def _supervise(self) -> None:
        status_due = line_due = time.monotonic()
        told = ""
        while not self._finished.is_set() and not self._alarm.wait(_TICK_S):
            if self._is_stopping:
                self._tell_once("stopping", "the round in work, then a checkpoint")
            if self._group.rank != 0 or time.monotonic() < status_due:
                continue
            status_due = time.monotonic() + _STATUS_EVERY_S
            self._publish_status()
            report = self._parts.rounds.report
            if report and report.line() != told and time.monotonic() >= line_due:
                line_due, told = time.monotonic() + _LINE_EVERY_S, report.line()
                self._reporter.say("progress", told, **report.fields())
        self._check()

    def _shut_down(self) -> None:
        self._learning.stop()
        self._writer.stop()
        self._link.stop(last_words=self._last_words if self._group.rank == 0 else None)
        self._check()
        report = self._parts.rounds.report
        self._say("stopped", f"stopped at {report.line()}" if report else "stopped")

    def _check(self) -> None:
        self._writer.check()
        self._learning.check()

    def _write(self) -> None:
        self._writing.turn()
        self._class_requests.turn()

    def _run_round(self) -> None:
        if self._finished.is_set():
            time.sleep(_IDLE_S)
            return
        report = self._parts.rounds.run_one(self._completed)
        if report.stops:
            self._finished.set()
        elif report.is_idle:
            self._ingest.arrived.wait(_IDLE_S)
            self._ingest.arrived.clear()

    def _completed(self, report: RankReport) -> RankReport:
        totals = self._parts.log.totals
        return replace(
            report,
            stops=self._is_stopping,
            is_up=self._link.is_up,
            stored=totals.stored,
            refused=totals.refused,
            duplicates=totals.duplicates,
            dropped=self._ingest.dropped_total,
        )

    def _receive(self, incoming: Incoming) -> None:
        # What belongs to no device is refused and counted once, by rank 0.
        device = self._topics.device_of(incoming.topic)
        if not (self._group.owns(device) if device else self._group.rank == 0):
            return
        if incoming.topic.endswith("/up/classes"):
            self._class_requests.receive(incoming)
        else:
            self._ingest.receive(incoming.topic, incoming.payload)

    def _on_up(self) -> None:
        self._say("up", f"connected to {self._broker}")
        if self._group.rank == 0:
            classes = exported_map(self._manifest.classes).to_message()
            self._link.publish(self._topics.class_map, classes.SerializeToString(), retain=True)
        self._publish_status()

    def _on_down(self, reason: str) -> None:
        self._say("down", f"{reason}: devices keep their batches, trying again")

    def _publish_status(self) -> None:
        report = self._parts.rounds.report
        if self._group.rank == 0 and report:
            message = report.message(self._incarnation, self._limits.message_bytes)
            self._link.publish(self._topics.model, message.SerializeToString(), retain=True)

    def _tell_once(self, kind: str, text: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._say(kind, f"{kind}: {text} (said once)")

    def _say(self, event: str, text: str) -> None:
        rank = self._group.rank
        self._reporter.say(event, f"rank {rank}: {text}", rank=rank, process=os.getpid())
