"""Prometheus metrics of the classes; of more than MAX_CLASSES_SHOWN, those that came last."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hiertk_cloud.api.class_records import ClassesView, ClassView

MAX_CLASSES_SHOWN = 100


def class_metrics(prefix: str, found: ClassesView) -> Iterator[Metric]:
    """Yield every metric of the classes that has a value now."""
    for metric, text, value in (
        ("class_map_version", "Newest version of the class map.", found.class_map_version),
        ("classes", "Classes in it.", len(found.classes)),
        ("class_slots", "Class slots, used or free.", found.class_slots),
        (
            "devices_behind_class_map",
            "Devices that have not put the newest class map in place.",
            found.unconfirmed_devices,
        ),
    ):
        yield GaugeMetricFamily(prefix + metric, text, value)
    for metric, text, count in (
        (
            "class_requests_answered",
            "Requests for a class that got a slot.",
            found.requests_answered,
        ),
        (
            "class_requests_refused",
            "Requests for a class that were refused.",
            found.requests_refused,
        ),
    ):
        yield CounterMetricFamily(prefix + metric, text, count)
    yield from _forgetting(prefix, found)
    shown = sorted(found.classes, key=lambda one: -one.since)[:MAX_CLASSES_SHOWN]
    yield from _of_classes(prefix, sorted(shown, key=lambda one: one.slot))


def _forgetting(prefix: str, found: ClassesView) -> Iterator[Metric]:
    text = "Best held-out accuracy less that of now, mean over the old classes, share of 1."
    family = GaugeMetricFamily(f"{prefix}forgetting", text, labels=["exit"])
    for name, value in (
        ("early", found.early_exit_forgetting),
        ("final", found.final_exit_forgetting),
    ):
        if value is not None:
            family.add_metric([name], value)
    yield family


def _of_classes(prefix: str, classes: list[ClassView]) -> Iterator[Metric]:
    samples = GaugeMetricFamily(
        f"{prefix}class_held_out_samples",
        "Samples in the newest held-out evaluation.",
        labels=["slot", "class"],
    )
    accuracy = GaugeMetricFamily(
        f"{prefix}class_held_out_accuracy",
        "Accuracy on the class's held-out samples, share of 1.",
        labels=["slot", "class", "exit"],
    )
    forgetting = GaugeMetricFamily(
        f"{prefix}class_forgetting",
        "Best held-out accuracy of the class less that of now, share of 1.",
        labels=["slot", "class", "exit"],
    )
    for one in classes:
        samples.add_metric([str(one.slot), one.name], one.held_out_samples)
        for name, known in (("early", one.early_exit), ("final", one.final_exit)):
            labels = [str(one.slot), one.name, name]
            if known.accuracy is not None:
                accuracy.add_metric(labels, known.accuracy)
            if known.forgetting is not None:
                forgetting.add_metric(labels, known.forgetting)
    yield from (samples, accuracy, forgetting)
