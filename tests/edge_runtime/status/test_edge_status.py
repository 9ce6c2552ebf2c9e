"""`hiertk-edge status`: a device that runs, one that does not, and one that hangs."""

import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from edge_parts import DEVICE, make_batch, make_manifest
from hiertk_edge.commands import status as status_module
from hiertk_edge.commands.status import status
from hiertk_edge.prediction.calibration import NOT_CALIBRATED
from hiertk_edge.spool import Cursor, Spool
from hiertk_edge.state import StateFolder
from hiertk_edge.status.file import (
    MAX_CLASSES,
    NAME,
    StatusFile,
    read_status,
    status_path,
    uptime_s,
)
from hiertk_edge.training.checkpoints import Checkpoints
from hiertk_protocol import errors
from numpy_learner import NumpyLearner
from typer.testing import CliRunner

BUNDLE_ID = make_manifest(shape=(4, 4, 4)).bundle_id
TOLD: dict[str, Any] = {
    "device": DEVICE,
    "state": "TRAINING",
    "edge_step": 120,
    "early_exit_loss": 0.25,
    "early_exit_accuracy": 0.9,
    "early_exit_held_out_accuracy": math.nan,
    "spool_batches": 7,
    "spool_bytes": 3_000_000,
    "wire_bytes": 5_000_000,
    "budget_bytes": 20_000_000,
    "budget_left_bytes": 15_000_000,
    "cloud_step": 77,
    "final_exit_held_out_accuracy": 0.875,
    "class_map_version": 3,
    "class_maps_ignored": 2,
    "classes": [
        {
            "name": "red",
            "slot": 0,
            "seen": 90,
            "kept": 40,
            "held_out": 8,
            "early_exit_accuracy": 0.75,
        },
        {"name": "kite", "slot": 7, "seen": 3, "kept": 3, "is_provisional": True},
    ],
    "temperature_c": 61.0,
    "checkpoint_step": 100,
    "problems": ["the broker cannot be reached: Connection refused"],
}


def show(*arguments: str | Path) -> str:
    alone = typer.Typer()
    alone.command()(status)
    result = CliRunner(env={"COLUMNS": "160"}).invoke(
        alone, [str(one) for one in arguments], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.output


def asked(state: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(show("--state", state, "--json"))
    return found


def write(state: Path) -> None:
    told = TOLD | {"checkpoint_uptime_s": uptime_s() - 300}
    StatusFile(state / NAME).write(told)


def edit(state: Path, **changes: object) -> None:
    """Make the status that of another process, boot or time."""
    file = state / NAME
    content = json.loads(file.read_text())
    content["writer"] |= changes
    file.write_text(json.dumps(content))


def end_after_writing(state: Path) -> None:
    """Let a process write a status, and end without a word."""
    code = (
        "import sys, pathlib; from hiertk_edge.status.file import StatusFile;"
        "StatusFile(pathlib.Path(sys.argv[1])).write({'device': 'pi-1', 'problems': ['hot']})"
    )
    subprocess.run([sys.executable, "-c", code, str(state / NAME)], check=True)


def fill(state: Path) -> None:
    """Leave a spool with two messages and a checkpoint of step 3."""
    folder = StateFolder(state)
    spool = Spool(folder.spool, bundle_id=BUNDLE_ID, device=DEVICE)
    spool.put([make_batch(), make_batch()], Cursor())
    spool.close()
    learner = NumpyLearner(make_manifest())
    images = np.zeros((4, 3, 16, 16), np.float32)
    for _ in range(3):
        learner.step(images, np.array([0, 1, 2, 0]))
    Checkpoints(folder.checkpoints, BUNDLE_ID).save(learner, NOT_CALIBRATED)


def test_a_device_that_runs_tells_how_it_is(tmp_path: Path) -> None:
    write(tmp_path)
    found = asked(tmp_path)
    assert (found["running"], found["silent"], found["stored"]) == (True, False, None)
    assert found["age_s"] < 60
    assert found["status"]["edge_step"] == 120
    assert found["status"]["early_exit_held_out_accuracy"] is None
    assert found["status"]["classes"][0]["early_exit_accuracy"] == 0.75
    assert found["status"]["classes"][1]["early_exit_accuracy"] is None
    table = show("--state", tmp_path)
    for wanted in (
        "pi-1: training", "loss 0.250, accuracy 90.0 %, held out -", "7 messages, 3.0 MB",
        "5.0 MB in 24 hours, 15.0 MB left", "step 100, 5 minutes old", "61 C", "75.0 %",
        "Connection refused", "kite (provisional)", "2, class map 3 (2 ignored), 1 provisional",
        "77", "held out 87.5 %",
    ):  # fmt: skip
        assert wanted in table


def test_of_many_classes_it_shows_the_provisional_and_the_least_known(tmp_path: Path) -> None:
    known = [{"name": f"c{n}", "slot": n, "early_exit_accuracy": n / 40} for n in range(40)]
    provisional = {"name": "kite", "slot": 63, "is_provisional": True}
    StatusFile(tmp_path / NAME).write({"classes": [*known, provisional]})
    table = show("--state", tmp_path)
    assert "kite (provisional)" in table
    assert " c0 " in table
    assert " c39 " not in table
    assert "21 more" in table
    assert len(asked(tmp_path)["status"]["classes"]) == 41


def test_as_many_classes_as_are_told_fit_the_file(tmp_path: Path) -> None:
    longest = {"name": "\N{FOUR LEAF CLOVER}" * 200, "slot": 4095, "is_provisional": True}
    told = longest | {"seen": 1 << 40, "kept": 1 << 20, "early_exit_accuracy": 1 / 3}
    StatusFile(tmp_path / NAME).write({"classes": [told] * MAX_CLASSES})
    assert len(asked(tmp_path)["status"]["classes"]) == MAX_CLASSES


def test_one_that_has_ended_is_not_running_whatever_its_file_says(tmp_path: Path) -> None:
    fill(tmp_path)
    end_after_writing(tmp_path)
    found = asked(tmp_path)
    assert not found["running"]
    assert found["stored"]["checkpoint_step"] == 3
    assert (found["stored"]["spool"]["held"], found["stored"]["spool"]["spooled"]) == (2, 2)
    table = show("--state", tmp_path)
    assert "pi-1: not running since" in table
    assert "2 messages" in table
    assert "step 3" in table
    assert "hot" in table


def test_another_process_with_the_number_of_the_old_one_is_not_the_device(tmp_path: Path) -> None:
    write(tmp_path)
    edit(tmp_path, process_start=1)
    assert not asked(tmp_path)["running"]


def test_after_a_restart_of_the_machine_only_its_clock_tells_since_when(tmp_path: Path) -> None:
    write(tmp_path)
    edit(tmp_path, boot_id="another", process_start=1, written=1_700_000_000.0)
    found = asked(tmp_path)
    assert (found["running"], found["age_s"]) == (False, None)
    assert "last heard of 2023-11-1" in show("--state", tmp_path)


def test_one_that_hangs_is_said_to_be_silent(tmp_path: Path) -> None:
    write(tmp_path)
    edit(tmp_path, uptime_s=uptime_s() - 600)
    assert asked(tmp_path)["silent"]
    assert "silent for 10 minutes" in show("--state", tmp_path)


def test_a_clock_that_is_set_makes_nothing_old(tmp_path: Path) -> None:
    write(tmp_path)
    edit(tmp_path, written=0.0)
    found = asked(tmp_path)
    assert (found["running"], found["silent"]) == (True, False)


def test_a_service_is_found_by_its_name_or_because_it_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_module, "_RUNTIME", tmp_path / "run")
    monkeypatch.setattr(status_module, "_STATES", tmp_path / "lib")
    with pytest.raises(errors.ConfigError, match=r"which device.*--device NAME"):
        show()
    for folder in (tmp_path / "run/pi-1", tmp_path / "lib/pi-1"):
        folder.mkdir(parents=True)
    write(tmp_path / "run/pi-1")
    assert "pi-1: training" in show()
    assert "pi-1: training" in show("--device", "pi-1")
    with pytest.raises(errors.ConfigError, match="no such state folder"):
        show("--device", "pi-2")
    with pytest.raises(errors.ConfigError, match="give one of them"):
        show("--device", "pi-1", "--state", str(tmp_path))


def test_watching_shows_it_again_until_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hiertk_edge", "status", "--watch", "--json", "--state"]
    write(tmp_path)
    with subprocess.Popen(
        [*command, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["running"]
        StatusFile(tmp_path / NAME).write({"edge_step": 121})
        assert json.loads(watching.stdout.readline())["status"]["edge_step"] == 121
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=20)
    assert watching.returncode == 130


def test_a_new_state_folder_is_no_error(tmp_path: Path) -> None:
    table = show("--state", tmp_path)
    assert "not running" in table
    assert "none" in table


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda state: (state / NAME).write_text("{"), "is no status"),
        (lambda state: (state / NAME).write_text('{"writer": {"pid": -1}}'), "is no status"),
        (lambda state: (state / NAME).write_bytes(b"1" * (2 << 20)), "more than 1048576 bytes"),
        (lambda state: (state / NAME).mkdir(), "Is a directory"),
        (lambda state: (state / "spool.sqlite").write_bytes(b"x" * 5000), "not a database"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    tmp_path: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    spoil(tmp_path)
    with pytest.raises(errors.StorageError, match=reason) as caught:
        show("--state", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    fill(tmp_path)
    damaged = tmp_path / "checkpoints/000000009"
    damaged.mkdir()
    (damaged / "checkpoint.json").write_text("[")
    assert asked(tmp_path)["stored"]["checkpoint_step"] == 3


def test_a_status_is_replaced_whole_and_read_back(tmp_path: Path) -> None:
    file = StatusFile(tmp_path / NAME)
    for step in range(3):
        file.write({"edge_step": step, "temperature_c": math.inf})
        found = read_status(tmp_path / NAME)
        assert found is not None
        assert (found.edge_step, found.temperature_c) == (step, None)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    with pytest.raises(errors.StorageError, match="No such file"):
        StatusFile(tmp_path / "none" / NAME).write({})


def test_under_the_unit_it_goes_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    assert status_path(tmp_path) == tmp_path / NAME
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/hiertk-edge/pi-1:/run/other")
    assert status_path(tmp_path) == Path("/run/hiertk-edge/pi-1") / NAME
