"""The running service as its operator sees it: view.py's records out of its parts."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.host.problems import Problems
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.mqtt import MqttLink

from hiertk_cloud.ingest.ingest import Ingest
from hiertk_cloud.log import DeviceTotals, DurableLog
from hiertk_cloud.predictions.predictions import Predictions
from hiertk_cloud.suspects import suspects
from hiertk_cloud.training.confusion import Evaluation
from hiertk_cloud.training.trainer import Trainer
from hiertk_cloud.views.class_state import ClassState
from hiertk_cloud.views.device_views import device_view
from hiertk_cloud.views.status import Snapshot
from hiertk_cloud.views.statuses import DeviceStatuses
from hiertk_cloud.views.view import (
    CheckpointView,
    DeploymentView,
    DeviceView,
    HealthView,
)


@dataclass(frozen=True)
class RunningView:
    """Implements view.ServiceView. running: set while training is not paused.

    class_state: what the registry knows.
    """

    manifest: Manifest
    log: DurableLog
    trainer: Trainer
    ingest: Ingest
    predictions: Predictions
    link: MqttLink
    statuses: DeviceStatuses
    problems: Problems
    checkpoint_file: Path
    running: threading.Event
    class_state: Callable[[], ClassState]

    def deployment(self) -> DeploymentView:
        """Return what is served."""
        manifest = self.manifest
        return DeploymentView(
            deployment=manifest.deployment,
            bundle_id=manifest.bundle_id.hex(),
            model=manifest.model.name,
            split=manifest.model.split,
            split_count=manifest.model.split_count,
            feature_shape=manifest.features.shape,
            bits=manifest.features.bits,
            classes=tuple(entry.name for entry in self.classes().newest.slots),
            class_slots=manifest.classes.capacity,
        )

    def snapshot(self) -> Snapshot:
        """Return progress, measures and counts."""
        # The progress first: the log is never behind it.
        progress = self.trainer.progress
        return Snapshot(
            progress=progress,
            measures=self.trainer.measures,
            totals=self.log.totals,
            dropped_total=self.ingest.dropped_total,
            acks_total=self.ingest.acks_total,
            ack_wait_ms=self.ingest.ack_wait_ms,
            predictions=self.predictions.totals,
        )

    def devices(self) -> list[DeviceView]:
        """Return every device that ever sent something, by name."""
        progress, totals = self.trainer.progress.devices, self.log.devices
        dropped, suspected = self.ingest.dropped, suspects(progress)
        names = sorted(self.statuses.devices | totals.keys() | progress.keys())
        return [
            device_view(
                name,
                status=self.statuses.of(name),
                totals=totals.get(name, DeviceTotals()),
                progress=self.trainer.progress.of(name),
                dropped=dropped[name],
                last_seen=self._seen(name),
                is_suspect=name in suspected,
            )
            for name in names
        ]

    def classes(self) -> ClassState:
        """Return the class map, and who has put it in place."""
        return self.class_state()

    def evaluation(self) -> Evaluation | None:
        """Return the newest held-out evaluation of all devices; None until there is one."""
        return self.trainer.confusion.evaluation(self.classes().newest)

    def checkpoint(self) -> CheckpointView | None:
        """Return the newest checkpoint; None before the first."""
        with suppress(FileNotFoundError):
            found = self.checkpoint_file.stat()
            saved = self.trainer.saved
            return CheckpointView(
                cloud_step=saved.cloud_step,
                consumed=saved.turn,
                size=found.st_size,
                written=found.st_mtime,
            )
        return None

    def health(self) -> HealthView:
        """Return whether it works."""
        return HealthView(
            is_ready=self.link.is_up,  # the state was recovered before there was a view
            is_connected=self.link.is_up,
            is_paused=not self.running.is_set(),
            problems=self.problems.lines,
        )

    def pause(self) -> None:
        """Stop training until resumed; batches are still stored and acknowledged."""
        self.running.clear()

    def resume(self) -> None:
        """Train again."""
        self.running.set()

    def _seen(self, device: str) -> float | None:
        times = (self.statuses.seen(device), self.ingest.seen(device))
        known = [one for one in times if one is not None]
        return max(known) if known else None
