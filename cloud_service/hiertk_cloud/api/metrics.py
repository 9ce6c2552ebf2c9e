"""Prometheus metrics, read from the view at the moment of the scrape."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
)
from prometheus_client.registry import Collector

from hiertk_cloud.api.class_marks import ClassMark
from hiertk_cloud.api.class_metrics import class_metrics
from hiertk_cloud.api.class_records import ClassesView, classes_of
from hiertk_cloud.api.records import StatusView, shown_devices, status_of
from hiertk_cloud.views.view import CheckpointView, DeviceState, DeviceView, ServiceView

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "hiertk_cloud_"
_STATES: tuple[DeviceState, ...] = get_args(DeviceState)


class _Field(NamedTuple):
    field: str
    metric: str
    help: str


_COUNTERS = (
    _Field("stored_total", "batches_stored", "Batches stored in the durable log."),
    _Field("acknowledged_total", "batches_acknowledged", "Batches stored or refused."),
    _Field("trained_total", "batches_trained", "Training batches that led to a cloud step."),
    _Field("replayed_total", "batches_replayed", "Batches trained on again, with nothing new."),
    _Field("acks_total", "acks", "Acks sent."),
    _Field("stale_total", "batches_stale", "Batches left out: features too old."),
    _Field("left_out_total", "samples_left_out", "Samples left out: their class has no slot."),
    _Field("skipped_total", "batches_skipped", "Batches without effect: not finite."),
    _Field("refused_total", "batches_refused", "Batches refused in an ack."),
    _Field("duplicates_total", "batches_duplicate", "Batches that came again."),
    _Field("dropped_total", "messages_dropped", "Messages that got no answer."),
    _Field("predictions_answered_total", "predictions_answered", "Predictions for devices."),
    _Field("predictions_refused_total", "predictions_refused", "Requests for them refused."),
    _Field(
        "predictions_unusable_total", "predictions_unusable", "Requests that no reply could name."
    ),
)
_GAUGES = (
    _Field("is_ready", "ready", "1 if connected to the broker and recovered, else 0."),
    _Field("is_connected", "connected", "1 if connected to the broker, else 0."),
    _Field("is_paused", "paused", "1 if training is paused, else 0."),
    _Field("cloud_step", "cloud_step", "Optimizer steps done on the cloud partition."),
    _Field("waiting", "batches_waiting", "Batches stored and not consumed yet."),
    _Field("final_exit_loss", "final_exit_loss", "Final exit, newest training batches, in nats."),
    _Field(
        "final_exit_accuracy",
        "final_exit_accuracy",
        "Final exit, newest training batches, share of 1.",
    ),
)
_DEVICE_COUNTERS = (
    _Field("stored_total", "device_batches_stored", "Batches stored in the durable log."),
    _Field("stored_bytes", "device_stored_bytes", "Their bytes."),
    _Field("trained_total", "device_batches_trained", "Training batches that led to a cloud step."),
    _Field("stale_total", "device_batches_stale", "Batches left out: features too old."),
    _Field("left_out_total", "device_samples_left_out", "Samples of a class without a slot."),
    _Field("skipped_total", "device_batches_skipped", "Batches without effect: not finite."),
    _Field("refused_total", "device_batches_refused", "Batches refused in an ack."),
    _Field("duplicates_total", "device_batches_duplicate", "Batches that came again."),
    _Field("dropped_total", "device_messages_dropped", "Messages that got no answer."),
    _Field(
        "spool_dropped_total",
        "device_batches_spool_dropped",
        "Batches that the device dropped because its spool was full.",
    ),
    _Field("sent_bytes", "device_sent_bytes", "Bytes that the device says it has sent."),
)
_DEVICE_GAUGES = (
    _Field("last_seen", "device_last_seen_timestamp_seconds", "Seconds since 1970."),
    _Field("edge_step", "device_edge_step", "Optimizer steps done on the edge partition."),
    _Field("early_exit_loss", "device_early_exit_loss", "Early exit, in nats."),
    _Field("early_exit_accuracy", "device_early_exit_accuracy", "Early exit, share of 1."),
    _Field(
        "early_exit_held_out_accuracy",
        "device_early_exit_held_out_accuracy",
        "Early exit on held-out samples, share of 1.",
    ),
    _Field("final_exit_loss", "device_final_exit_loss", "Final exit on its batches, in nats."),
    _Field(
        "final_exit_held_out_accuracy",
        "device_final_exit_held_out_accuracy",
        "Final exit on held-out samples, share of 1.",
    ),
    _Field("waiting", "device_batches_waiting", "Batches stored and not consumed yet."),
    _Field("spool_batches", "device_spool_batches", "Batches in the device's spool."),
    _Field("spool_bytes", "device_spool_bytes", "Bytes in the device's spool."),
    _Field("is_suspect", "device_suspect", "1 if its loss stays far above its peers', else 0."),
    _Field("class_map_version", "device_class_map_version", "Class map that it has put in place."),
)


class ServiceCollector(Collector):
    """All metrics of one service."""

    def __init__(self, view: ServiceView, marks: Sequence[ClassMark]) -> None:
        self._view = view
        self._marks = marks

    def collect(self) -> Iterator[Metric]:
        """Yield every metric that has a value now."""
        health = self._view.health()
        status = status_of(self._view.snapshot(), health)
        yield self._deployment()
        yield from _plain(status)
        yield _held_out(status)
        problems = f"{_PREFIX}problems"
        yield GaugeMetricFamily(problems, "Problems that /ready names.", len(health.problems))
        yield from _checkpoint(self._view.checkpoint())
        yield from class_metrics(_PREFIX, self._classes())
        devices, count = shown_devices(self._view)
        yield GaugeMetricFamily(f"{_PREFIX}devices", "Devices that ever sent something.", count)
        yield from _of_devices(devices)

    def _classes(self) -> ClassesView:
        view = self._view
        slots = view.deployment().class_slots
        return classes_of(view.classes(), slots, view.evaluation(), self._marks)

    def _deployment(self) -> Metric:
        info = self._view.deployment()
        return InfoMetricFamily(
            f"{_PREFIX}deployment",
            "What is served.",
            {
                "deployment": info.deployment,
                "bundle_id": info.bundle_id,
                "model": info.model,
                "split": str(info.split),
            },
        )


def metrics_text(view: ServiceView, marks: Sequence[ClassMark] = ()) -> bytes:
    """Return the text that Prometheus scrapes. marks: what was kept of the classes until now."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ServiceCollector(view, marks))
    return generate_latest(registry)


def _plain(status: StatusView) -> Iterator[Metric]:
    for field, metric, text in _COUNTERS:
        yield CounterMetricFamily(_PREFIX + metric, text, getattr(status, field))
    for field, metric, text in _GAUGES:
        value = getattr(status, field)
        if value is not None:
            yield GaugeMetricFamily(_PREFIX + metric, text, float(value))
    for metric, text, milliseconds in (
        ("step_seconds", "Median of the newest cloud steps.", status.step_ms),
        ("ack_wait_seconds", "Median from arrival to ack, newest messages.", status.ack_wait_ms),
        (
            "prediction_wait_seconds",
            "Median from arrival to reply, newest requests.",
            status.prediction_wait_ms,
        ),
    ):
        if milliseconds is not None:
            yield GaugeMetricFamily(_PREFIX + metric, text, milliseconds / 1e3)


def _held_out(status: StatusView) -> Metric:
    text = "Mean over devices on held-out samples, share of 1."
    family = GaugeMetricFamily(f"{_PREFIX}held_out_accuracy", text, labels=["exit"])
    for name, value in (
        ("early", status.early_exit_held_out_accuracy),
        ("final", status.final_exit_held_out_accuracy),
    ):
        if value is not None:
            family.add_metric([name], value)
    return family


def _checkpoint(checkpoint: CheckpointView | None) -> Iterator[Metric]:
    if checkpoint is None:
        return
    name = f"{_PREFIX}checkpoint_"
    yield GaugeMetricFamily(
        f"{name}cloud_step", "Cloud step of the newest checkpoint.", checkpoint.cloud_step
    )
    yield GaugeMetricFamily(f"{name}size_bytes", "Size of it.", checkpoint.size)
    yield GaugeMetricFamily(
        f"{name}written_timestamp_seconds", "When, in seconds since 1970.", checkpoint.written
    )


def _of_devices(devices: Iterable[DeviceView]) -> Iterator[Metric]:
    devices = list(devices)
    for field, metric, text in _DEVICE_COUNTERS:
        counter = CounterMetricFamily(_PREFIX + metric, text, labels=["device"])
        for device in devices:
            counter.add_metric([device.name], getattr(device, field))
        yield counter
    for field, metric, text in _DEVICE_GAUGES:
        gauge = GaugeMetricFamily(_PREFIX + metric, text, labels=["device"])
        for device in devices:
            value = getattr(device, field)
            if value is not None:
                gauge.add_metric([device.name], float(value))
        yield gauge
    text = "Problems that the device tells of."
    problems = GaugeMetricFamily(f"{_PREFIX}device_problems", text, labels=["device"])
    for device in devices:
        problems.add_metric([device.name], len(device.problems))
    yield problems
    states = StateSetMetricFamily(
        f"{_PREFIX}device_state", "1 for the state that the device is in.", labels=["device"]
    )
    for device in devices:
        states.add_metric([device.name], {state: state == device.state for state in _STATES})
    yield states
