"""The service: broker, ingest, log and trainer put together, until it is stopped.

Four threads beside the main one: the link's own, the writer of the log, the trainer, and at first
one that looks through the log for damage. The main thread reports, feeds the watchdog, and takes
the signal to stop; so a step is never torn in two.
"""

import secrets
import threading
from collections.abc import Callable
from typing import TypeVar

from hiertk_protocol.errors import ProtocolError, StorageError
from hiertk_protocol.hiertk_pb2 import ModelStatus
from hiertk_protocol.host.notify import Notifier
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.mqtt import BrokerAddress, Handlers, Incoming, MqttLink, Will
from hiertk_protocol.topics import Topics

from hiertk_cloud.classes.registry import ClassRegistry
from hiertk_cloud.classes.running import RunningClasses
from hiertk_cloud.ingest.ingest import Ingest, Room
from hiertk_cloud.ingest.writing import Writing
from hiertk_cloud.log import DurableLog, LogDamagedError, marking_damage
from hiertk_cloud.log.check import check_messages
from hiertk_cloud.predictions.predictions import Predictions
from hiertk_cloud.report import Reporter
from hiertk_cloud.settings import ServiceSettings
from hiertk_cloud.state import StateFolder
from hiertk_cloud.supervisor import Supervisor
from hiertk_cloud.training.learner import CloudLearner
from hiertk_cloud.training.thread import Training
from hiertk_cloud.training.trainer import Trainer
from hiertk_cloud.views.class_state import ClassState
from hiertk_cloud.views.service_view import RunningView
from hiertk_cloud.views.statuses import DeviceStatuses
from hiertk_cloud.worker import Worker

_STATUS_EVERY_S = 1.0

Result = TypeVar("Result")


class CloudService:
    """One deployment's cloud side, once its state is open."""

    def __init__(
        self,
        *,
        manifest: Manifest,
        folder: StateFolder,
        log: DurableLog,
        registry: ClassRegistry,
        trainer: Trainer,
        broker: BrokerAddress,
        settings: ServiceSettings,
        reporter: Reporter,
        notifier: Notifier,
    ) -> None:
        self._manifest = manifest
        self._folder = folder
        self._topics = Topics(manifest.deployment)
        self._log = log
        self._trainer = trainer
        self._broker = broker
        self._settings = settings
        self._reporter = reporter
        self._notifier = notifier
        self._problems = Problems(reporter.say)
        self._incarnation = secrets.randbits(64)
        self._told: set[str] = set()
        self._has_been_up = threading.Event()
        self._stopping = threading.Event()
        offline = ModelStatus(state=ModelStatus.OFFLINE, incarnation=self._incarnation)
        self._last_words = Will(self._topics.model, offline.SerializeToString())
        self._link = MqttLink(
            broker,
            client_id=f"hiertk-cloud-{manifest.deployment}",
            subscriptions=(
                self._topics.features("+"),
                self._topics.status("+"),
                self._topics.predict("+"),
                self._topics.class_request("+"),
            ),
            will=self._last_words,
            handlers=Handlers(self._receive, self._on_up, self._on_down),
            max_message_bytes=settings.limits.payload_bytes,
            credentials=settings.credentials,
        )
        self._classes = RunningClasses(
            manifest,
            registry,
            publish=self._link.publish,
            tell=self._tell_once,
            say=reporter.say,
        )
        self._statuses = DeviceStatuses(self._topics, self._classes.hear_status)
        self._ingest = Ingest(
            log,
            manifest,
            publish=self._link.publish,
            tell=self._tell_once,
            problems=self._problems,
            limits=settings.limits,
            room=Room.of(folder.path, settings),
            classes=registry,
            heard=self._classes.hear,
        )
        self._writing = Writing(self._ingest, log)
        self._alarm = threading.Event()
        self._writer = Worker("writer", self._write, self._alarm)
        self._predictions = Predictions(
            manifest,
            publish=self._link.publish,
            tell=self._tell_once,
            limits=settings.limits,
            arrived=self._ingest.arrived,
        )
        self._training = Training(
            trainer, log, self._predictions, self._problems, self._ingest.arrived
        )
        self._learning = Worker("trainer", self._training.turn, self._alarm)
        self._checker = threading.Thread(target=self._check_log, name="checker", daemon=True)
        self.view = RunningView(
            manifest=manifest,
            log=log,
            trainer=trainer,
            ingest=self._ingest,
            predictions=self._predictions,
            link=self._link,
            statuses=self._statuses,
            problems=self._problems,
            checkpoint_file=folder.checkpoint,
            running=self._training.running,
            class_state=self._class_state,
        )
        self._supervisor = Supervisor(
            self.view, (self._writer, self._learning), self._notifier, self._problems, reporter
        )

    def run(self, each_second: Callable[[], None] = lambda: None) -> None:
        """Serve until Ctrl-C or SIGTERM, then checkpoint and say goodbye. Raises HiertkError."""
        self._say_start()
        try:
            self._writer.start()
            self._learning.start()
            self._checker.start()
            self._link.start()
            self._supervise(each_second)
        except KeyboardInterrupt:
            self._reporter.say("stopping", "stopping: the batch in work, then a checkpoint")
        finally:
            self._notifier.stopping()
            self._shut_down()

    def between_steps(self, work: Callable[[CloudLearner], Result]) -> Result:
        """Do some work on the learner in the trainer's thread, between two steps; any thread."""
        return self._training.errands.ask(lambda: work(self._trainer.learner))

    def _write(self) -> None:
        self._writing.turn()
        self._classes.turn()

    def _supervise(self, each_second: Callable[[], None]) -> None:
        while not self._alarm.wait(_STATUS_EVERY_S):
            self._publish_status()
            self._supervisor.look()
            each_second()
        self._writer.check()
        self._learning.check()

    def _shut_down(self) -> None:
        self._stopping.set()
        self._learning.stop()
        self._writer.stop()
        self._link.stop(last_words=self._last_words)
        # A worker that failed may have left a step half done: the last checkpoint stands.
        self._learning.check()
        self._trainer.save()
        now = self.view.snapshot()
        self._reporter.say("stopped", f"stopped at {now.line()}", **now.fields())

    def _check_log(self) -> None:
        try:
            with marking_damage(self._folder.log):
                found = check_messages(self._folder.log, self._stopping.is_set)
        except LogDamagedError as error:
            self._problems.begin("log", f"{error}")
        except StorageError as error:
            self._problems.begin("log", f"the log could not be checked: {error}")
        else:
            if found.damaged:
                self._problems.begin(
                    "log",
                    f"{found.damaged} of {found.checked} stored batches are damaged: they are "
                    "skipped: is the disk failing?",
                )

    def _receive(self, incoming: Incoming) -> None:
        topic, payload = incoming.topic, incoming.payload
        if topic.endswith("/up/features"):
            self._ingest.receive(topic, payload)
            return
        if topic.endswith("/up/predict"):
            self._predictions.receive(incoming)
            return
        if topic.endswith("/up/classes"):
            self._classes.receive(incoming)
            return
        try:
            self._statuses.receive(topic, payload)
        except ProtocolError as error:
            self._tell_once("unusable-status", f"{error} (on {topic[:200]!r})")

    def _on_up(self) -> None:
        if self._has_been_up.is_set():
            self._problems.end("broker", f"connected to {self._broker} again")
        else:
            self._problems.end("broker")
            self._reporter.say("up", f"connected to {self._broker}")
            self._has_been_up.set()
        self._classes.publish()
        self._publish_status()
        self._notifier.ready()

    def _on_down(self, reason: str) -> None:
        self._problems.begin("broker", f"{reason}: devices keep their batches, trying again")

    def _class_state(self) -> ClassState:
        totals, registry = self._classes.totals, self._classes.registry
        return ClassState(
            newest=registry.history.newest,
            confirmed={device.name: device.version for device in registry.devices},
            trained=self._trainer.tally.by_slot(registry.history.newest),
            waiting_slots=totals.waiting,
            requests_answered=totals.requests.answered,
            requests_refused=totals.requests.refused,
        )

    def _publish_status(self) -> None:
        message = self.view.snapshot().message(
            self._incarnation, self._settings.limits.message_bytes
        )
        self._link.publish(self._topics.model, message.SerializeToString(), retain=True)

    def _tell_once(self, kind: str, text: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._reporter.say(kind, f"{kind}: {text} (more of this kind are only counted)")

    def _say_start(self) -> None:
        now = self.view.snapshot()
        self._reporter.say(
            "started",
            f"deployment {self._manifest.deployment}: {now.totals.stored} batches stored, "
            f"cloud step {now.progress.cloud_step}, broker {self._broker}",
            deployment=self._manifest.deployment,
            **now.fields(),
        )
