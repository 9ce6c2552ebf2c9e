"""A slow link between a device and a broker on one machine.

With root: two network namespaces, joined by a pair of virtual interfaces with the kernel's token
bucket on the device's side, which counts every byte of every packet. Without: our own proxy, which
counts what TCP carries.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.errors import TransportError

from hiertk.brokers import find_mosquitto, installed_broker, mosquitto_settings
from hiertk.link import ShapedLink

_DEVICE_ADDRESS, _CLOUD_ADDRESS = "10.77.0.1", "10.77.0.2"
_DEVICE_END, _CLOUD_END = "hk-device", "hk-cloud"
_PORT = 1883
_START_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Carried:
    """Bytes that a link has carried, from the device and to it."""

    up: int
    down: int


@dataclass(frozen=True)
class SlowLink:
    """Where processes run, and where they find the broker.

    efficiency: what of the rate is left for what TCP carries. carried: counts so far; with
    namespaces of whole packets, with the proxy of what TCP carries.
    """

    kind: str
    device_prefix: list[str]
    cloud_prefix: list[str]
    device_broker: str
    cloud_broker: str
    efficiency: float
    carried: Callable[[], Carried]


def has_namespaces() -> bool:
    """Return whether this process may make and shape network namespaces, and has Mosquitto."""
    if os.geteuid() != 0 or not shutil.which("tc") or find_mosquitto() is None:
        return False
    name = f"hiertk-probe-{os.getpid()}"
    attempts = (
        ("ip", "netns", "add", name),
        ("ip", "-n", name, "link", "add", "one", "type", "veth", "peer", "name", "two"),
        ("tc", "-n", name, *_shaping("one", 1e6)),
    )
    try:
        return all(
            subprocess.run(command, capture_output=True, check=False).returncode == 0
            for command in attempts
        )
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@contextmanager
def slow_link(folder: Path, bits_per_s: float) -> Iterator[SlowLink]:
    """Yield a broker behind a link of this rate, from the device to the cloud."""
    folder.mkdir(parents=True)
    if has_namespaces():
        with _namespaces(folder, bits_per_s) as link:
            yield link
        return
    with (
        installed_broker(folder) as broker,
        ShapedLink(broker.url, up_bits_per_s=bits_per_s) as proxy,
    ):
        yield SlowLink(
            kind="proxy",
            device_prefix=[],
            cloud_prefix=[],
            device_broker=proxy.url,
            cloud_broker=broker.url,
            efficiency=1.0,
            carried=lambda: Carried(proxy.up_bytes, proxy.down_bytes),
        )


@contextmanager
def _namespaces(folder: Path, bits_per_s: float) -> Iterator[SlowLink]:
    device, cloud = (f"hiertk-{side}-{os.getpid()}" for side in ("device", "cloud"))
    inside = ["ip", "netns", "exec"]
    try:
        for name in (device, cloud):
            _run("ip", "netns", "add", name)
            _run("ip", "-n", name, "link", "set", "lo", "up")
        _run(
            *("ip", "link", "add", _DEVICE_END, "netns", device),
            *("type", "veth", "peer", "name", _CLOUD_END, "netns", cloud),
        )
        for name, interface, address in (
            (device, _DEVICE_END, _DEVICE_ADDRESS),
            (cloud, _CLOUD_END, _CLOUD_ADDRESS),
        ):
            _run("ip", "-n", name, "address", "add", f"{address}/24", "dev", interface)
            _run("ip", "-n", name, "link", "set", interface, "up")
        _run("tc", "-n", device, *_shaping(_DEVICE_END, bits_per_s))
        with _mosquitto(folder, [*inside, cloud]) as broker:
            yield SlowLink(
                kind="namespaces",
                device_prefix=[*inside, device],
                cloud_prefix=[*inside, cloud],
                device_broker=f"mqtt://{_CLOUD_ADDRESS}:{_PORT}",
                cloud_broker=f"mqtt://127.0.0.1:{_PORT}",
                efficiency=0.95,
                carried=lambda: _carried(broker.pid),
            )
    finally:
        for name in (device, cloud):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@contextmanager
def _mosquitto(folder: Path, prefix: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run Mosquitto with the product's own settings, but for every address of its namespace."""
    config = folder / "mosquitto.conf"
    config.write_text(mosquitto_settings("0.0.0.0", _PORT))  # noqa: S104
    program = find_mosquitto()
    assert program is not None
    with (folder / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen([*prefix, program, "-c", str(config)], stdout=log, stderr=log)
    try:
        _wait_for_port(prefix)
        yield process
    finally:
        process.terminate()
        process.wait()


def _wait_for_port(prefix: list[str]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    probe = f"import socket; socket.create_connection(('127.0.0.1', {_PORT}), 1)"
    while True:
        tried = subprocess.run(
            [*prefix, sys.executable, "-c", probe], capture_output=True, check=False
        )
        if tried.returncode == 0:
            return
        if time.monotonic() > deadline:
            raise TransportError("mosquitto does not start in its namespace")
        time.sleep(0.1)


def _carried(process: int) -> Carried:
    """Return what the cloud's end has counted. process: any in its namespace."""
    lines = Path(f"/proc/{process}/net/dev").read_text().splitlines()
    (counts,) = [line.split(":")[1].split() for line in lines if _CLOUD_END in line]
    return Carried(up=int(counts[0]), down=int(counts[8]))


def _shaping(interface: str, bits_per_s: float) -> tuple[str, ...]:
    bucket = ("tbf", "rate", f"{bits_per_s:.0f}bit", "burst", "16kb", "latency", "300ms")
    return ("qdisc", "add", "dev", interface, "root", *bucket)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
