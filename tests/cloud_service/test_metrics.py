"""The metrics, read back with Prometheus' own parser; and the Grafana dashboard that shows them."""

import json
import re
from importlib.resources import files

import pytest
from cloud_service.still_view import CHECKPOINT, PI_1, StillView, snapshot_at
from hiertk_cloud.api.metrics import CONTENT_TYPE, metrics_text
from hiertk_cloud.api.records import MAX_DEVICES_SHOWN
from prometheus_client.parser import text_string_to_metric_families

_IN_QUERIES = re.compile(r"hiertk_cloud_\w+")


def samples(view: StillView) -> dict[tuple[str, str], float]:
    """Values by metric and by what its labels say."""
    families = text_string_to_metric_families(metrics_text(view).decode())
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_scrape_gives_the_values_of_the_view() -> None:
    found = samples(StillView(is_paused=True, problems=("one", "another")))
    expected: dict[tuple[str, str], float] = {
        ("hiertk_cloud_ready", ""): 1,
        ("hiertk_cloud_paused", ""): 1,
        ("hiertk_cloud_problems", ""): 2,
        ("hiertk_cloud_cloud_step", ""): 50,
        ("hiertk_cloud_batches_stored_total", ""): 60,
        ("hiertk_cloud_batches_acknowledged_total", ""): 62,
        ("hiertk_cloud_batches_waiting", ""): 3,
        ("hiertk_cloud_messages_dropped_total", ""): 6,
        ("hiertk_cloud_final_exit_loss", ""): 0.4,
        ("hiertk_cloud_step_seconds", ""): 0.0125,
        ("hiertk_cloud_ack_wait_seconds", ""): 0.0215,
        ("hiertk_cloud_acks_total", ""): 30,
        ("hiertk_cloud_held_out_accuracy", "final"): 0.85,
        ("hiertk_cloud_held_out_accuracy", "early"): 0.7,
        ("hiertk_cloud_checkpoint_cloud_step", ""): CHECKPOINT.cloud_step,
        ("hiertk_cloud_checkpoint_written_timestamp_seconds", ""): CHECKPOINT.written,
        ("hiertk_cloud_devices", ""): 2,
        ("hiertk_cloud_device_stored_bytes_total", "pi-1"): PI_1.stored_bytes,
        ("hiertk_cloud_device_batches_stale_total", "pi-1"): PI_1.stale_total,
        ("hiertk_cloud_device_spool_bytes", "pi-1"): PI_1.spool_bytes,
        ("hiertk_cloud_device_suspect", "pi-2"): 1,
        ("hiertk_cloud_device_state", "pi-1,training"): 1,
        ("hiertk_cloud_device_state", "pi-1,offline"): 0,
        ("hiertk_cloud_device_state", "pi-2,offline"): 1,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert ("hiertk_cloud_deployment_info", f"{'ab' * 32},greenhouse,resnet18,2") in found


def test_what_is_not_measured_yet_is_absent() -> None:
    found = samples(StillView(now=snapshot_at(loss=float("nan")), saved=None))
    assert ("hiertk_cloud_final_exit_loss", "") not in found
    assert ("hiertk_cloud_checkpoint_cloud_step", "") not in found
    assert ("hiertk_cloud_device_final_exit_held_out_accuracy", "pi-2") not in found
    assert ("hiertk_cloud_device_final_exit_held_out_accuracy", "pi-1") in found


def test_a_problem_with_a_new_line_or_a_quote_breaks_nothing() -> None:
    odd = PI_1.model_copy(update={"name": 'a"b\\c\nd'})
    assert ("hiertk_cloud_device_edge_step", odd.name) in samples(StillView(all_devices=[odd]))


def test_devices_in_a_scrape_are_bounded_and_counted() -> None:
    many = [PI_1.model_copy(update={"name": f"pi-{n}"}) for n in range(MAX_DEVICES_SHOWN + 5)]
    found = samples(StillView(all_devices=many))
    assert found["hiertk_cloud_devices", ""] == len(many)
    assert sum(name == "hiertk_cloud_device_edge_step" for name, _ in found) == MAX_DEVICES_SHOWN


def test_every_metric_says_what_it_is() -> None:
    text = metrics_text(StillView()).decode()
    assert "0.0.4" in CONTENT_TYPE
    for family in text_string_to_metric_families(text):
        assert family.documentation.endswith("."), family.name
        assert family.type != "unknown", family.name


@pytest.mark.parametrize("name", ["grafana-dashboard.json"])
def test_grafana_asks_only_for_metrics_that_there_are(name: str) -> None:
    dashboard = json.loads((files("hiertk_cloud") / "deploy" / name).read_text())
    queries = [
        target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())
    ]
    queries += [variable.get("query", "") for variable in dashboard["templating"]["list"]]
    there = {metric for metric, _ in samples(StillView())}
    asked = {metric for query in queries for metric in _IN_QUERIES.findall(query)}
    assert len(asked) > 12
    assert asked <= there
    assert "://" not in json.dumps(dashboard)
