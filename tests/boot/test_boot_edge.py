"""hiertk-edge on a machine that boots: its unit, its user, its watchdog; it always goes on."""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from boot.machine import Machine
from bundles import export_fashion
from hiertk.data import load, write_image_folder
from hiertk_protocol.errors import ConfigError
from mqtt_client import wait_until

pytestmark = pytest.mark.boot

UNIT = "hiertk-edge@pi-1"
PATIENCE_S = 120.0
STOP_S = 15.0
IMAGES = 64
# The unit's own times are for machines that are slow, not for tests.
FASTER = "[Service]\nRestartSec=1\nWatchdogSec=10\nTimeoutAbortSec=2\n"
SETTINGS = {
    "epochs": "100000",
    "every_steps": "5",
    "every_s": "1.0",
    "nice": "15",
    "listen": '"127.0.0.1:8421"',
    "streams": '["watch:/srv/hiertk/new"]',
}


@pytest.fixture
def booted(machine: Machine, tmp_path: Path, tell: Callable[[str], None]) -> Iterator[Machine]:
    """The machine with the device installed as an operator does it, and Mosquitto's own broker."""
    served = machine.root / "srv/hiertk"
    export_fashion(served / "bundle", model="resnet18", split=1, batch_size=8)
    write_image_folder(load("fashion-mnist-mini", "train"), range(IMAGES), served / "images")
    (served / "new").mkdir()
    machine.prepare("chmod", "-R", "a+rX", "/srv/hiertk")
    machine.prepare("/opt/hiertk/bin/hiertk-edge", "install", "--device", "pi-1")
    file = machine.root / "etc/hiertk/pi-1.toml"
    text = file.read_text().replace("mqtt://broker.local", "mqtt://localhost")
    for key, value in SETTINGS.items():
        text, count = re.subn(rf"^# {key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
        assert count == 1, key
    file.write_text(text)
    override = machine.root / f"etc/systemd/system/{UNIT}.service.d/faster.conf"
    override.parent.mkdir()
    override.write_text(FASTER)
    with machine.booted(tmp_path / "console"):
        tell("the machine has booted")
        yield machine


def test_it_trains_is_killed_hangs_and_stops_and_goes_on(
    booted: Machine, tell: Callable[[str], None]
) -> None:
    try:
        tell("the doctor finds nothing wrong")
        booted.run("systemctl", "start", "mosquitto")
        checks = json.loads(
            booted.run("hiertk-edge", "doctor", "--config", "/etc/hiertk/pi-1.toml", "--json")
        )
        assert {"bundle", "engine", "broker"} <= {one["what"] for one in checks}
        tell("it trains as a user of its own")
        booted.run("systemctl", "start", UNIT)
        wait_until_trained(booted, 10)
        process = f"/proc/{booted.shown(UNIT, 'MainPID')}"
        assert int(booted.run("stat", "--format=%u", process)) != 0
        fields = booted.run("cat", f"{process}/stat").rpartition(")")[2].split()
        assert fields[16] == "15", "its nice level"
        tell("it is killed, and comes back to its checkpoint")
        be_brought_back(booted, "KILL", "signal")
        tell("it hangs, and the watchdog brings it back")
        be_brought_back(booted, "STOP", "Watchdog timeout")
        tell("it stops cleanly, with a checkpoint")
        stop(booted)
        tell("with wrong settings it stays down, and says why")
        stay_down(booted)
    except BaseException:
        tell(booted.run("journalctl", "--unit", UNIT, "--no-pager", "--lines", "60"))
        raise


def status(machine: Machine) -> dict[str, Any]:
    told = json.loads(machine.run("hiertk-edge", "status", "--device", "pi-1", "--json"))
    found: dict[str, Any] = told["status"]
    return found


def wait_until_trained(machine: Machine, steps: int) -> None:
    wait_until(lambda: status(machine)["edge_step"] >= steps, PATIENCE_S)


def be_brought_back(machine: Machine, signal: str, told: str) -> None:
    restarts = int(machine.shown(UNIT, "NRestarts"))
    step = status(machine)["edge_step"]
    machine.run("systemctl", "kill", "--kill-who=main", f"--signal={signal}", UNIT)
    wait_until(lambda: int(machine.shown(UNIT, "NRestarts")) > restarts, PATIENCE_S)
    assert told in machine.run("journalctl", "--unit", UNIT, "--no-pager")
    wait_until(lambda: machine.shown(UNIT, "ActiveState") == "active", PATIENCE_S)
    wait_until_trained(machine, step + 1)


def stop(machine: Machine) -> None:
    started = time.monotonic()
    machine.run("systemctl", "stop", UNIT)
    assert time.monotonic() - started < STOP_S
    assert machine.shown(UNIT, "Result") == "success"
    generations = machine.root / "var/lib/private/hiertk-edge/pi-1/checkpoints"
    assert any(time.time() - one.stat().st_mtime < STOP_S for one in generations.iterdir())


def stay_down(machine: Machine) -> None:
    file = machine.root / "etc/hiertk/pi-1.toml"
    file.write_text(file.read_text().replace("[care]", "[care]\nunknown = 1"))
    machine.run("systemctl", "start", "--no-block", UNIT)
    wait_until(lambda: machine.shown(UNIT, "ActiveState") == "failed", PATIENCE_S)
    assert machine.shown(UNIT, "ExecMainStatus") == str(ConfigError.exit_code)
    assert "care.unknown" in machine.run("journalctl", "--unit", UNIT, "--no-pager")
