"""hiertk-cloud on a machine that boots: its unit, its user, its watchdog; nothing lost by any."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from boot.conftest import BATCH_SIZE, IMAGES
from boot.hanging import FILE
from boot.machine import WORK, Machine
from hiertk_protocol.bundle import Bundle
from mqtt_client import wait_until

pytestmark = pytest.mark.boot

BROKER = "mqtt://localhost"
EPOCHS = 30  # of each of three runs
STEPS = EPOCHS * IMAGES // BATCH_SIZE
STOP_S = 10
PATIENCE_S = 150.0


class Service:
    """The service on a booted machine, and what it says over the broker."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._statuses = machine.shared / "statuses"

    def watch(self, deployment: str) -> None:
        script = f"{WORK}/watch_status.py"
        self._machine.start(self._statuses.name, "python", script, BROKER, deployment)

    def shown(self, name: str) -> str:
        return self._machine.shown("hiertk-cloud", name)

    @property
    def restarts(self) -> int:
        return int(self.shown("NRestarts"))

    def wait_until_restarted(self, before: int) -> None:
        """Wait until systemd has started it once more than `before`, and it is ready."""
        wait_until(lambda: self.restarts > before, PATIENCE_S)
        self.wait_until_active()

    def wait_until_active(self) -> None:
        wait_until(lambda: self.shown("ActiveState") == "active", PATIENCE_S)

    def status(self) -> dict[str, Any]:
        """Return its newest status; nothing before the first one."""
        lines = self._statuses.read_text().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        newest: dict[str, Any] = json.loads(whole[-1]) if whole else {}
        return newest

    def wait_until_consumed(self, batches: int) -> None:
        wait_until(lambda: self.status().get("consumed_total", 0) >= batches, PATIENCE_S)


class Device:
    """A real device on the same machine: each run goes on where the last one ended."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._epochs = 0

    def start(self) -> None:
        self._epochs += EPOCHS
        self._output = self._machine.shared / f"device-{self._epochs}"
        self._machine.start(
            self._output.name, "hiertk-edge", "run", "--bundle", "/srv/hiertk/bundle",
            "--broker", BROKER, "--device", "pi-1", "--data", f"folder:{WORK}/images",
            "--state", "/var/lib/device", "--epochs", str(self._epochs), "--json",
            "--drain-timeout", str(PATIENCE_S),
        )  # fmt: skip

    def end(self) -> dict[str, Any]:
        """Wait until all is trained and acknowledged, and return the outcome."""
        result = self._machine.wait_for(self._output.name, PATIENCE_S)
        assert result == "success", self._output.read_text()[-2000:]
        outcome: dict[str, Any] = json.loads(self._output.read_text().splitlines()[-1])
        assert outcome["spool_batches"] == 0
        return outcome


@pytest.fixture
def booted(configured: Machine, tmp_path: Path, tell: Callable[[str], None]) -> Iterator[Machine]:
    with configured.booted(tmp_path / "console"):
        tell("the machine has booted")
        yield configured


def test_it_serves_is_killed_hangs_and_stops_and_loses_nothing(
    booted: Machine, bundle: Bundle, tell: Callable[[str], None]
) -> None:
    service, device = Service(booted), Device(booted)
    try:
        tell("it waits for the broker, and is active once it is connected")
        wait_for_the_broker(booted, service)
        service.watch(bundle.manifest.deployment)
        tell("it is killed at work, and comes back")
        be_killed(booted, service, device)
        tell("its trainer hangs, and the watchdog brings it back")
        hang(booted, service, device)
        tell("it stops cleanly at work, and goes on after a start")
        stop_and_start(booted, service, device)
        tell("every batch is stored and trained on, once")
        status = service.status()
        counts = [status[f"{name}_total"] for name in ("stored", "trained", "refused")]
        assert counts == [3 * STEPS, 3 * STEPS, 0]
    except BaseException:
        tell(booted.run("journalctl", "--unit", "hiertk-cloud", "--no-pager", "--lines", "60"))
        raise


def wait_for_the_broker(machine: Machine, service: Service) -> None:
    machine.run("systemctl", "start", "--no-block", "hiertk-cloud")
    wait_until(lambda: "trying again" in journal(machine), PATIENCE_S)
    assert service.shown("ActiveState") == "activating"
    machine.run("systemctl", "start", "mosquitto")
    service.wait_until_active()
    process = f"/proc/{service.shown('MainPID')}"
    assert int(machine.run("stat", "--format=%u", process)) != 0
    checked = json.loads(machine.run("hiertk-cloud", "check", "--json"))
    assert {"bundle", "state folder", "broker"} <= {one["what"] for one in checked}


def be_killed(machine: Machine, service: Service, device: Device) -> None:
    device.start()
    service.wait_until_consumed(STEPS // 10)
    before = service.restarts
    machine.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", "hiertk-cloud")
    service.wait_until_restarted(before)
    device.end()
    service.wait_until_consumed(STEPS)


def hang(machine: Machine, service: Service, device: Device) -> None:
    before = service.restarts
    machine.run("touch", str(FILE))
    device.start()
    wait_until(lambda: "Watchdog timeout" in journal(machine), PATIENCE_S)
    machine.run("rm", str(FILE))
    service.wait_until_restarted(before)
    device.end()
    service.wait_until_consumed(2 * STEPS)


def stop_and_start(machine: Machine, service: Service, device: Device) -> None:
    device.start()
    service.wait_until_consumed(2 * STEPS + STEPS // 10)
    started = time.monotonic()
    machine.run("systemctl", "stop", "hiertk-cloud")
    assert time.monotonic() - started < STOP_S
    assert service.shown("Result") == "success"
    checkpoint = machine.root / "var/lib/private/hiertk-cloud/checkpoint.safetensors"
    assert time.time() - checkpoint.stat().st_mtime < STOP_S
    machine.run("systemctl", "start", "hiertk-cloud")
    assert device.end()["edge_step"] == 3 * STEPS
    service.wait_until_consumed(3 * STEPS)


def journal(machine: Machine) -> str:
    return machine.run("journalctl", "--unit", "hiertk-cloud", "--no-pager")
