"""The emulated machine keeps to itself: neither crashes nor hangs reach this one."""

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from arm64.emulation import VENV, EmulatedMachine
from mqtt_client import wait_until

pytestmark = pytest.mark.arm64

PYTHON = f"/{VENV}/bin/python"
TIMEOUT_S = 60


def test_it_is_an_arm64_machine_with_the_edge_command(pi: EmulatedMachine) -> None:
    done = pi.run(PYTHON, "-c", "import platform; print(platform.machine())", timeout_s=TIMEOUT_S)
    assert done.stdout == "aarch64\n"
    done = pi.run("hiertk-edge", "--help", timeout_s=TIMEOUT_S)
    assert "Train the edge partition" in done.stdout


def test_a_crash_there_is_a_failure_here(pi: EmulatedMachine) -> None:
    done = pi.run(PYTHON, "-c", "import os; os.abort()", timeout_s=TIMEOUT_S)
    assert done.returncode == 128 + 6
    assert "uncaught target signal 6" in done.stderr


def test_nothing_of_it_outlives_its_time(pi: EmulatedMachine) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    with pytest.raises(subprocess.TimeoutExpired):
        pi.run(PYTHON, "-c", "import time; time.sleep(600)", timeout_s=5)
    assert Path("/proc/self/mounts").read_text() == mounts
    wait_until(lambda: not running(b"time.sleep(600)"))


def running(part: bytes) -> list[bytes]:
    """Return the command lines that hold this part."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # ended meanwhile
            lines.append(path.read_bytes())
    return [line for line in lines if part in line]
