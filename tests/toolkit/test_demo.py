"""The demo, small: everything real, a result that adds up, and nothing left when it is stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

SMALL = ("--limit", "320", "--epochs", "1")


def demo(runs: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "hiertk", "demo", "--runs", str(runs), *SMALL, *arguments]


def processes_with(text: str) -> list[str]:
    """Return the command lines of living processes that name a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if text in line:
            found.append(line)
    return found


@pytest.mark.parametrize("broker", ["mosquitto", pytest.param("embedded", marks=pytest.mark.slow)])
def test_a_small_run_loses_and_doubles_nothing(tmp_path: Path, broker: str) -> None:
    done = subprocess.run(
        demo(tmp_path / "runs", "--broker", broker, "--json"),
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["broker"] == broker
    assert (results["batches_lost"], results["batches_doubled"]) == (0, 0)
    assert results["batches_trained"] == 10
    assert results["batches_stored"] == 10 + results["batches_evaluated"]
    assert 0 < results["feature_bytes_per_sample"] < results["raw_bytes_per_sample"]
    assert results["png_bytes_per_sample"] > 0
    assert results["edge_step_ms"] > 0 < results["cloud_step_ms"]
    (run,) = (tmp_path / "runs").iterdir()
    assert json.loads((run / "results.json").read_text()) == results
    with Image.open(run / "summary.png") as picture:
        assert picture.size[0] > 1000
    assert processes_with(str(tmp_path)) == []


def test_ctrl_c_leaves_no_process_and_no_half_written_run(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    running = subprocess.Popen(
        demo(runs), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 90
        while not list(runs.glob(".demo-*/device-1.log")) and time.monotonic() < deadline:
            assert running.poll() is None
            time.sleep(0.2)
        assert len(processes_with(str(runs))) >= 3
        os.kill(running.pid, signal.SIGINT)
        output, _ = running.communicate(timeout=60)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 130, output
    assert b"Traceback" not in output
    assert list(runs.iterdir()) == []
    assert processes_with(str(tmp_path)) == []
