"""Each class over time: its curves, what was best, and what stays of one that is gone."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cloud_service.still_view import CLASSES, EVALUATION, StillView, evaluation_of, snapshot_at
from hiertk_cloud.api import class_points
from hiertk_cloud.api.class_marks import Best, ClassMark, better
from hiertk_cloud.api.class_points import ClassHistory
from hiertk_cloud.api.curve_file import CurveFile
from hiertk_cloud.api.history import History
from hiertk_cloud.views.class_state import ClassState
from hiertk_protocol.class_map import ClassAlias, ClassMap, ClassSlot


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with closing(History(tmp_path / "curves.sqlite", every_s=0)) as opened:
        yield opened


def view_of(step: int, right: int, of: int = 10, *, classes: ClassMap = CLASSES) -> StillView:
    """Return a view whose exits know so many of the cats; the early exit one less."""
    final = [(0, 0, right), (0, 1, of - right)]
    early = [(0, 0, right - 1), (0, 1, of - right + 1)]
    measured = evaluation_of(final, early, classes=classes)
    return StillView(
        now=snapshot_at(step),
        measured=replace(measured, number=step),
        class_state=ClassState(classes),
    )


def mark_of(history: History, name: str) -> ClassMark:
    (found,) = (mark for mark in history.classes.marks() if mark.name == name)
    return found


def test_a_class_has_a_point_for_each_evaluation(history: History) -> None:
    for step, right in ((10, 5), (20, 9), (30, 7)):
        history.record(view_of(step, right))
    found = history.classes.curves(0)
    assert found is not None
    curves = found.model_dump()
    assert curves.pop("time")[0] > 1_700_000_000
    assert curves == {
        "slot": 0,
        "since": 1,
        "name": "cat",
        "cloud_step": [10, 20, 30],
        "samples": [10, 10, 10],
        "early_exit_accuracy": [0.4, 0.8, 0.6],
        "final_exit_accuracy": [0.5, 0.9, 0.7],
    }
    mark = mark_of(history, "cat")
    assert (mark.final_exit, mark.final_exit_best) == (0.7, Best(0.9, 10))
    assert (mark.early_exit, mark.early_exit_best) == (0.6, Best(0.8, 10))


def test_there_is_no_point_where_nothing_was_measured(history: History) -> None:
    history.record(StillView(measured=None))
    assert [mark.name for mark in history.classes.marks()] == ["cat", "dog", "owl"]
    history.record(StillView())
    history.record(StillView(now=snapshot_at(60)))  # the same evaluation
    cats, owls = history.classes.curves(0), history.classes.curves(4)
    assert cats is not None
    assert owls is not None
    assert (cats.cloud_step, owls.cloud_step) == ([50], [])
    assert history.classes.curves(2) is None


def test_points_keep_their_distance_in_time_for_each_class(tmp_path: Path) -> None:
    with closing(History(tmp_path / "curves.sqlite", every_s=60)) as history:
        for step in range(1, 10):
            history.record(view_of(step, 5))
        found = history.classes.curves(0)
    assert found is not None
    assert found.cloud_step == [1]


def test_a_restart_keeps_curves_and_best_and_a_crash_takes_points_back(tmp_path: Path) -> None:
    for steps in (((10, 5), (20, 9)), ((15, 6), (30, 7))):
        with closing(History(tmp_path / "curves.sqlite", every_s=0)) as history:
            for step, right in steps:
                history.record(view_of(step, right))
            found, best = history.classes.curves(0), mark_of(history, "cat").final_exit_best
    assert found is not None
    assert found.cloud_step == [10, 15, 30]
    assert best == Best(0.9, 10)


def test_a_class_that_is_gone_stays_by_its_name(history: History) -> None:
    history.record(view_of(10, 8))
    kite = ClassSlot(0, "kite", since=5)
    merged = ClassSlot(1, "dog", aliases=(ClassAlias("cat", 0, 1),))
    history.record(view_of(20, 4, classes=ClassMap(5, (kite, merged))))
    cat = mark_of(history, "cat")
    assert cat.gone is not None
    assert (cat.final_exit, cat.final_exit_best) == (0.8, Best(0.8, 10))
    newest, before = history.classes.curves(0), history.classes.curves(0, since=1)
    assert newest is not None
    assert before is not None
    assert (newest.name, newest.cloud_step) == ("kite", [20])
    assert (before.name, before.cloud_step) == ("cat", [10])
    assert mark_of(history, "kite").came_at_step == 20
    history.record(view_of(30, 4))  # a registry that was restored has it again
    assert mark_of(history, "cat").gone is None


def test_of_the_classes_that_are_gone_the_newest_stay(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_points, "MAX_GONE", 3)
    for version in range(1, 9):
        classes = ClassMap(version, (ClassSlot(0, f"c{version}", since=version),))
        history.record(view_of(version, 5, classes=classes))
    assert [mark.name for mark in history.classes.marks()] == ["c5", "c6", "c7", "c8"]
    assert history.classes.curves(0, since=4) is None


@pytest.mark.parametrize(("max_points", "max_rows"), [(20, 10_000), (10_000, 20)])
def test_the_older_half_of_the_points_thins_out(
    tmp_path: Path, max_points: int, max_rows: int
) -> None:
    schema, probes = class_points.SCHEMA, class_points.PROBES
    file = CurveFile(tmp_path / "curves.sqlite", schema, probes, lambda _kind, _text: None)
    history = ClassHistory(file, every_s=0, max_points=max_points, max_rows=max_rows)
    with closing(file):
        for step in range(1, 101):
            history.record(view_of(step, 5))
        found = history.curves(0)
    assert found is not None
    assert len(found.cloud_step) <= 20
    assert (found.cloud_step[0], found.cloud_step[-1]) == (1, 100)
    assert found.cloud_step[-5:] == [96, 97, 98, 99, 100]


def test_damage_costs_the_classes_curves_too_and_they_begin_anew(
    tmp_path: Path, history: History
) -> None:
    for step in range(1, 60):
        history.record(view_of(step, 5))
    history._file.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (tmp_path / "curves.sqlite").write_bytes(b"overwritten " * 10_000)
    history._file.database.execute("PRAGMA shrink_memory")  # what is cached would still be right
    history.record(view_of(60, 5))
    history.record(view_of(61, 5))
    found = history.classes.curves(0)
    assert found is not None
    assert found.cloud_step[-1] == 61


def test_a_file_of_a_version_without_classes_is_read_on(tmp_path: Path) -> None:
    path = tmp_path / "curves.sqlite"
    with closing(History(path, every_s=0)) as before:
        before.record(view_of(10, 5))
        for table in ("classes", "class_points"):
            before._file.database.execute(f"DROP TABLE {table}")
    with closing(History(path, every_s=0)) as after:
        assert after.rows().cloud_step == [10]
        after.record(StillView(measured=EVALUATION))
        assert mark_of(after, "dog").final_exit == 0.9


@pytest.mark.parametrize(
    ("best", "now", "expected"),
    [
        (None, Best(0.2, 1), Best(0.2, 1)),
        (Best(0.8, 100), Best(0.9, 100), Best(0.9, 100)),
        (Best(0.8, 100), Best(0.7, 100), Best(0.8, 100)),
        (Best(0.8, 100), Best(1.0, 49), Best(0.8, 100)),
        (Best(1.0, 2), Best(0.6, 5), Best(0.6, 5)),
    ],
)
def test_a_few_samples_that_were_right_by_chance_are_no_best(
    best: Best | None, now: Best, expected: Best
) -> None:
    assert better(best, now) == expected
