"""What the API answers beyond the records of the view; None where nothing was measured yet."""

import math
import time
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from hiertk_cloud.api.rates import Rates
from hiertk_cloud.views.status import Snapshot
from hiertk_cloud.views.view import (
    CheckpointView,
    DeviceView,
    HealthView,
    ServiceView,
)

MAX_DEVICES_SHOWN = 500


class StatusView(BaseModel):
    """The service at one moment.

    Losses are mean cross entropies in nats, accuracies shares of 1, those of the final exit over
    the newest training batches, held-out ones the mean over devices. Totals count batches, except
    dropped_total: messages that got no answer, acks_total: acks since the service started, and
    left_out_total: samples whose class had no slot when their batch had its turn.
    acknowledged_total: stored or refused. ack_wait_ms: median wait of the newest messages.
    predictions_*_total: requests since the service started; prediction_wait_ms: their median wait.
    """

    model_config = ConfigDict(frozen=True)

    time: float
    is_ready: bool
    is_connected: bool
    is_paused: bool
    problems: tuple[str, ...]
    cloud_step: int
    step_ms: float | None
    final_exit_loss: float | None
    final_exit_accuracy: float | None
    final_exit_held_out_accuracy: float | None
    early_exit_held_out_accuracy: float | None
    waiting: int
    stored_total: int
    acknowledged_total: int
    acks_total: int
    ack_wait_ms: float | None
    consumed_total: int
    trained_total: int
    replayed_total: int
    skipped_total: int
    stale_total: int
    left_out_total: int
    refused_total: int
    duplicates_total: int
    dropped_total: int
    predictions_answered_total: int
    predictions_refused_total: int
    predictions_unusable_total: int
    prediction_wait_ms: float | None


class Readiness(BaseModel):
    """Whether the service may be counted on, and if not, why."""

    model_config = ConfigDict(frozen=True)

    is_ready: bool
    reasons: tuple[str, ...] = ()


class Frame(BaseModel):
    """One event of the stream: what a watcher sees of this second.

    devices: at most MAX_DEVICES_SHOWN of device_count. early_exit_loss, early_exit_accuracy: mean
    over devices. history_row: the newest row of the curves. classes_version: another number when
    the classes, or what was measured of them, are others.
    """

    model_config = ConfigDict(frozen=True)

    status: StatusView
    early_exit_loss: float | None
    early_exit_accuracy: float | None
    rates: Rates
    checkpoint: CheckpointView | None
    device_count: int
    devices: tuple[DeviceView, ...]
    history_row: int
    classes_version: int


def finite(value: float) -> float | None:
    """Return None for a measure that is not known yet."""
    return value if math.isfinite(value) else None


def mean_known(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are known; None without any."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sum(known) / len(known) if known else None


def status_of(snapshot: Snapshot, health: HealthView) -> StatusView:
    """Return a snapshot as the API shows it."""
    held_out = snapshot.held_out
    return StatusView(
        time=time.time(),
        is_ready=health.is_ready,
        is_connected=health.is_connected,
        is_paused=health.is_paused,
        problems=health.problems,
        cloud_step=snapshot.progress.cloud_step,
        step_ms=finite(snapshot.measures.step_ms),
        final_exit_loss=finite(snapshot.measures.loss),
        final_exit_accuracy=finite(snapshot.measures.accuracy),
        final_exit_held_out_accuracy=finite(held_out.final_exit),
        early_exit_held_out_accuracy=finite(held_out.early_exit),
        waiting=snapshot.queue,
        stored_total=snapshot.totals.stored,
        acknowledged_total=snapshot.totals.stored + snapshot.totals.refused,
        acks_total=snapshot.acks_total,
        ack_wait_ms=finite(snapshot.ack_wait_ms),
        consumed_total=snapshot.progress.turn,
        trained_total=snapshot.progress.trained_total,
        replayed_total=snapshot.progress.replayed_total,
        skipped_total=snapshot.progress.skipped_total,
        stale_total=snapshot.progress.stale_total,
        left_out_total=snapshot.progress.left_out_total,
        refused_total=snapshot.totals.refused,
        duplicates_total=snapshot.totals.duplicates,
        dropped_total=snapshot.dropped_total,
        predictions_answered_total=snapshot.predictions.answered,
        predictions_refused_total=snapshot.predictions.refused,
        predictions_unusable_total=snapshot.predictions.unusable,
        prediction_wait_ms=finite(snapshot.predictions.wait_ms),
    )


def readiness_of(health: HealthView) -> Readiness:
    """Return the reasons only while the service is not ready: a problem need not stop it."""
    if health.is_ready:
        return Readiness(is_ready=True)
    unsaid = (
        "the state is being recovered" if health.is_connected else "no connection to the broker"
    )
    return Readiness(is_ready=False, reasons=health.problems or (unsaid,))


def shown_devices(view: ServiceView) -> tuple[list[DeviceView], int]:
    """Return the devices that a page or a scrape shows, by name, and how many there are.

    Of more than MAX_DEVICES_SHOWN, the suspect ones and those seen last: what is shown is bounded,
    whoever invents device names.
    """
    devices = view.devices()
    if len(devices) <= MAX_DEVICES_SHOWN:
        return devices, len(devices)
    chosen = sorted(devices, key=lambda one: (not one.is_suspect, -(one.last_seen or 0.0)))
    return sorted(chosen[:MAX_DEVICES_SHOWN], key=lambda one: one.name), len(devices)
