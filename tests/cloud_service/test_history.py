"""The curves: what becomes a point, what stays, and what a damaged file costs."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cloud_service.still_view import StillView, snapshot_at
from hiertk_cloud.api.history import History

Told = list[tuple[str, str]]


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def history(tmp_path: Path, told: Told) -> Iterator[History]:
    opened = open_history(tmp_path / "curves.sqlite", told)
    with closing(opened):
        yield opened


def open_history(path: Path, told: Told, *, max_rows: int = 5000) -> History:
    return History(
        path, tell=lambda kind, text: told.append((kind, text)), every_s=0, max_rows=max_rows
    )


def record(history: History, *steps: int) -> None:
    for step in steps:
        history.record(StillView(now=snapshot_at(step)))


def test_a_point_holds_both_exits(history: History) -> None:
    record(history, 50)
    curves = history.rows().model_dump()
    assert curves.pop("time")[0] > 1_700_000_000
    assert curves == {
        "row": [1],
        "cloud_step": [50],
        "early_exit_loss": [1.5],
        "final_exit_loss": [0.4],
        "early_exit_accuracy": [0.75],
        "final_exit_accuracy": [0.875],
        "early_exit_held_out_accuracy": [0.7],
        "final_exit_held_out_accuracy": [0.85],
    }


def test_there_is_no_point_until_the_cloud_step_has_moved(history: History) -> None:
    history.record(StillView(now=snapshot_at(0, loss=float("nan"))))
    assert history.rows().row == []
    record(history, 1, 1, 2, 2)
    assert history.rows().cloud_step == [1, 2]
    assert history.rows(after=1).cloud_step == [2]
    assert history.newest_row == 2


def test_points_keep_their_distance_in_time(tmp_path: Path) -> None:
    view = StillView()
    with closing(History(tmp_path / "curves.sqlite", every_s=60)) as history:
        for step in range(1, 10):
            view.now = snapshot_at(step)
            history.record(view)
        assert history.rows().cloud_step == [1]
        assert view.asked == 2  # once for these, once for the classes' curves


def test_a_restart_keeps_the_curves(tmp_path: Path, told: Told) -> None:
    path = tmp_path / "curves.sqlite"
    with closing(open_history(path, told)) as before:
        record(before, 10, 20)
    with closing(open_history(path, told)) as after:
        record(after, 20, 30)
        assert after.rows().cloud_step == [10, 20, 30]
    assert told == []


def test_after_a_crash_the_curves_go_back_with_the_checkpoint(history: History) -> None:
    record(history, 10, 20, 30, 40, 25)
    curves = history.rows()
    assert curves.cloud_step == [10, 20, 25]
    assert curves.row == [1, 2, 5]  # whoever saw row 4 asks for what came after it


def test_the_older_half_thins_out(tmp_path: Path, told: Told) -> None:
    with closing(open_history(tmp_path / "curves.sqlite", told, max_rows=40)) as history:
        for step in range(1, 201):
            record(history, step)
            assert len(history.rows().row) <= 40
        steps = history.rows().cloud_step
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (1, 200)
    assert steps[-10:] == list(range(191, 201))
    assert steps[1] - steps[0] > 4


@pytest.mark.parametrize("version", [0, 9])
def test_a_file_that_is_not_its_own_makes_way(tmp_path: Path, told: Told, version: int) -> None:
    path = tmp_path / "curves.sqlite"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE curves (row INTEGER PRIMARY KEY, nonsense TEXT)")
        other.execute(f"PRAGMA user_version = {version}")
        other.commit()
    with closing(open_history(path, told)) as history:
        record(history, 1)
        assert history.rows().cloud_step == [1]
    assert [kind for kind, _ in told] == ["history"]
    assert str(path) in told[0][1]
    assert "begin anew" in told[0][1]


def test_a_damaged_file_begins_anew(tmp_path: Path, told: Told) -> None:
    path = tmp_path / "curves.sqlite"
    with closing(open_history(path, told)) as before:
        record(before, *range(1, 400))
    path.write_bytes(path.read_bytes()[:4096] + b"overwritten " * 2000)
    with closing(open_history(path, told)) as history:
        assert history.rows().row == []
        record(history, 400)
    with closing(open_history(path, told)) as again:
        assert again.rows().cloud_step == [400]
    assert len(told) == 1


def test_damage_while_it_runs_costs_the_curves_only(
    tmp_path: Path, history: History, told: Told
) -> None:
    record(history, *range(1, 400))
    history._file.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (tmp_path / "curves.sqlite").write_bytes(b"overwritten " * 10_000)
    history._file.database.execute("PRAGMA shrink_memory")  # what is cached would still be right
    record(history, 400, 401)
    assert history.rows().cloud_step[-1] == 401
    assert "begin anew" in told[0][1]


def test_a_full_disk_costs_points_but_not_the_curves(
    tmp_path: Path, history: History, told: Told
) -> None:
    record(history, 1, 2)
    with closing(sqlite3.connect(tmp_path / "curves.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # whatever keeps a file from being written
        record(history, 3, 4)
        other.execute("ROLLBACK")
    record(history, 5)
    assert history.rows().cloud_step == [1, 2, 5]
    assert len(told) == 1
    assert "left out" in told[0][1]


def test_without_a_disk_the_curves_live_in_memory(tmp_path: Path, told: Told) -> None:
    with closing(open_history(tmp_path / "missing" / "curves.sqlite", told)) as history:
        record(history, 1, 2)
        assert history.rows().cloud_step == [1, 2]
    assert "in memory only" in told[0][1]
