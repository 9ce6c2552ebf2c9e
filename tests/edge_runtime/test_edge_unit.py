"""The systemd unit of a device: systemd accepts it, and it starts what the command line knows."""

import shlex
import shutil
import string
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from hiertk_edge.cli import app
from hiertk_protocol import errors

DEPLOY = Path(__file__).parent.parent.parent / "edge_runtime" / "deploy"
UNIT = DEPLOY / "hiertk-edge@.service"
PROGRAM = "/opt/hiertk/bin/hiertk-edge"
MOST_EXPOSURE = 25  # tenths of the score


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit of device pi-1 with a program that is on this machine."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    here = Path(sys.executable).with_name("hiertk-edge")
    unit = tmp_path / "hiertk-edge@pi-1.service"
    unit.write_text(UNIT.read_text().replace(PROGRAM, str(here)))
    return unit


def test_systemd_finds_nothing_wrong_with_it(installed: Path) -> None:
    assert analyze("verify", str(installed)) == ""


def test_it_leaves_the_trainer_little_to_break(installed: Path) -> None:
    analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", str(installed))


def test_it_runs_a_command_that_the_device_knows() -> None:
    values = dict(line.split("=", 1) for line in settings("device.env"))
    line = setting("ExecStart").replace("%i", "pi-1").replace("%S", "/var/lib")
    program, command, *options = shlex.split(string.Template(line).substitute(values))
    assert (program, command) == (PROGRAM, "run")
    parsed = typer.main.get_command(app).commands["run"].make_context("run", options).params  # type: ignore[attr-defined]
    assert parsed["device"] == "pi-1"
    assert parsed["state"] == Path("/var/lib") / setting("StateDirectory").replace("%i", "pi-1")
    assert parsed["data"].startswith("folder:/")


def test_it_does_not_start_again_what_starting_again_cannot_mend() -> None:
    kept_down = {int(code) for code in setting("RestartPreventExitStatus").split()}
    lasting = {errors.ConfigError, errors.BundleError, errors.ProtocolError}
    assert kept_down == {2} | {kind.exit_code for kind in lasting}


def setting(name: str) -> str:
    (value,) = [
        line.removeprefix(f"{name}=") for line in settings(UNIT.name) if line.startswith(f"{name}=")
    ]
    return value


def settings(file: str) -> list[str]:
    lines = (DEPLOY / file).read_text().splitlines()
    return [line for line in lines if "=" in line and not line.startswith("#")]


def analyze(*arguments: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", "--man=no", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr
