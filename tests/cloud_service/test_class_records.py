"""What the API and the metrics say of classes, over real connections."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from cloud_service.still_view import (
    CLASS_STATE,
    CLASSES,
    EVALUATION,
    StillView,
    evaluation_of,
    serving,
    snapshot_at,
)
from hiertk_cloud.api.class_marks import Best, ClassMark
from hiertk_cloud.api.class_metrics import MAX_CLASSES_SHOWN
from hiertk_cloud.api.class_records import MAX_DEVICES_NAMED, classes_of
from hiertk_cloud.api.history import History
from hiertk_cloud.api.metrics import metrics_text
from hiertk_cloud.views.class_state import ClassState
from hiertk_protocol.class_map import ClassMap, ClassSlot

CAT = ClassMark(0, 1, "cat", 1.0, 0, None, 10, 0.9, 0.5, Best(0.9, 10), Best(0.9, 10))
KITE = ClassMark(2, 1, "kite", 1.0, 0, 99.0, 5, 0.4, 0.6, Best(0.5, 5), Best(0.6, 5))
OWL = ClassMark(4, 2, "owl", 50.0, 30, None, 0, None, None, None, None)
GULL = ClassMark(5, 2, "gull", 50.0, 30, 60.0, 0, None, None, None, None)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx2.Client]:
    with (
        serving(StillView(), tmp_path) as server,
        httpx2.Client(base_url=server.url, timeout=10) as client,
    ):
        yield client


def test_each_class_says_how_well_both_exits_know_it_and_what_they_lost() -> None:
    found = classes_of(CLASS_STATE, 8, EVALUATION, [CAT, KITE, OWL, GULL])
    assert (found.class_map_version, found.class_slots) == (3, 8)
    cat, dog, owl = found.classes
    assert (cat.slot, cat.held_out_samples, cat.trained, cat.came) == (0, 10, 900, None)
    assert (cat.early_exit.accuracy, cat.early_exit.best) == (0.7, 0.9)
    assert cat.early_exit.forgetting == pytest.approx(0.2)
    assert cat.final_exit.forgetting == pytest.approx(0.1)
    assert (dog.final_exit.accuracy, dog.final_exit.forgetting) == (0.9, 0.0)
    assert (owl.name, owl.aliases, owl.came, owl.came_at_step) == ("owl", ("kite",), 50.0, 30)
    assert (owl.held_out_samples, owl.final_exit.accuracy) == (0, None)


def test_forgetting_is_the_mean_over_the_old_classes() -> None:
    found = classes_of(CLASS_STATE, 8, EVALUATION, [CAT])
    assert found.early_exit_forgetting == pytest.approx(0.1)
    assert found.final_exit_forgetting == pytest.approx(0.05)


def test_a_class_that_is_gone_is_named_with_what_became_of_it() -> None:
    kite, gull = classes_of(CLASS_STATE, 8, EVALUATION, [CAT, KITE, OWL, GULL]).gone
    assert (kite.name, kite.merged_into, kite.gone) == ("kite", "owl", 99.0)
    assert (kite.final_exit.accuracy, kite.early_exit.best) == (0.6, 0.5)
    assert (gull.name, gull.merged_into, gull.final_exit.accuracy) == ("gull", None, None)


def test_after_a_restart_what_was_kept_counts_until_the_next_evaluation() -> None:
    cat = classes_of(CLASS_STATE, 8, None, [CAT]).classes[0]
    assert (cat.held_out_samples, cat.final_exit.accuracy) == (10, 0.5)
    assert cat.final_exit.forgetting == pytest.approx(0.4)


def test_it_says_which_devices_have_not_put_the_newest_map_in_place() -> None:
    found = classes_of(CLASS_STATE, 8, None, [])
    assert (found.devices, found.unconfirmed_devices, found.unconfirmed) == (2, 1, ("pi-2",))
    assert [one.confirmed_devices for one in found.classes] == [2, 2, 1]
    many = ClassState(CLASSES, confirmed={f"pi-{n}": 1 for n in range(MAX_DEVICES_NAMED + 5)})
    found = classes_of(many, 8, None, [])
    assert found.unconfirmed_devices == MAX_DEVICES_NAMED + 5
    assert len(found.unconfirmed) == MAX_DEVICES_NAMED


def test_the_api_tells_classes_matrices_and_curves(client: httpx2.Client, tmp_path: Path) -> None:
    classes = client.get("/api/classes").json()
    assert [one["name"] for one in classes["classes"]] == ["cat", "dog", "owl"]
    assert (classes["requests_answered"], classes["requests_refused"]) == (2, 1)
    assert classes["waiting_slots"] == 1
    confusion = client.get("/api/confusion").json()
    assert confusion["matrix"] == EVALUATION.final_exit.tolist()
    assert confusion["early_exit_matrix"] == EVALUATION.early_exit.tolist()
    assert (confusion["slots"], confusion["samples"]) == ([0, 1, 4], 20)
    assert (confusion["accuracy"], confusion["early_exit_accuracy"]) == (0.85, 0.7)
    history = History(tmp_path / "curves.sqlite", every_s=0)
    history.record(StillView(now=snapshot_at(50)))
    history.close()
    curves = client.get("/api/classes/1/history").json()
    assert (curves["name"], curves["final_exit_accuracy"]) == ("dog", [0.9])
    assert client.get("/api/classes/1/history", params={"since": 2}).status_code == 404
    schema = json.dumps(client.get("/openapi.json").json())
    assert all(name in schema for name in ("ClassView", "ClassCurves", "ConfusionView"))


def test_metrics_name_both_exits_of_each_class() -> None:
    text = metrics_text(StillView(), [CAT]).decode()
    for line in (
        'hiertk_cloud_class_held_out_accuracy{class="cat",exit="early",slot="0"} 0.7',
        'hiertk_cloud_class_held_out_accuracy{class="dog",exit="final",slot="1"} 0.9',
        'hiertk_cloud_class_held_out_samples{class="owl",slot="4"} 0.0',
        "hiertk_cloud_class_map_version 3.0",
        "hiertk_cloud_devices_behind_class_map 1.0",
        "hiertk_cloud_class_requests_refused_total 1.0",
        'hiertk_cloud_device_class_map_version{device="pi-1"} 3.0',
    ):
        assert f"{line}\n" in text
    assert 'hiertk_cloud_forgetting{exit="final"} 0.0' in text
    assert 'class_held_out_accuracy{class="owl"' not in text


def test_classes_in_a_scrape_are_bounded_and_the_newest_are_among_them() -> None:
    old = tuple(ClassSlot(n, f"old {n}") for n in range(MAX_CLASSES_SHOWN + 20))
    classes = ClassMap(2, (*old, ClassSlot(len(old), 'a "new"\\one', since=2)))
    measured = evaluation_of(((len(old), len(old), 4),), ((len(old), 0, 4),), classes=classes)
    view = StillView(class_state=ClassState(classes), measured=measured)
    text = metrics_text(view).decode()
    assert text.count("\nhiertk_cloud_class_held_out_samples{") == MAX_CLASSES_SHOWN
    assert '{class="a \\"new\\"\\\\one",exit="final"' in text
