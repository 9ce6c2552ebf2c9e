"""What a device costs the cloud: idle, and sending."""

import shutil
import time
from dataclasses import dataclass

from hiertk.brokers import Broker, MosquittoBroker
from hiertk.simulate import SimulationSettings, simulate
from hiertk.simulate.outcome import SimulationOutcome
from hiertk_protocol.mqtt import parse_broker

from benchmarks.figures import Figure, at_most
from benchmarks.service_process import ServiceProcess
from benchmarks.workplace import Workplace

TITLE = "Devices per cloud"
HOW = """\
`hiertk-cloud serve` (ResNet-18, separation point 2, no replay, no API) in a process of its own, a
real Mosquitto, and `hiertk simulate` in the benchmark's: real connections, messages and acks, no
training on the devices. A fresh service for each number of devices. Idle devices publish their
first status and then are only there; memory is resident memory, less that of the same service
without a device. Sending devices send a message of 4 KiB (three samples) every five seconds, and
the cloud trains on all of them, so its share of a core is that of training; the wait for an ack is
the devices'."""

_IDLE = {"tiny": (2,), "quick": (1, 50, 500), "full": (1, 50, 500)}
_SENDING = {"tiny": (2,), "quick": (1, 500), "full": (1, 50, 150, 500)}
_SECONDS = {"tiny": 1.0, "quick": 8.0, "full": 30.0}
_MESSAGE_KIB = 4
_RATE = 0.2
_MOST = 500
_MEMORY_MB = 250
_ACK_WAIT_MS = 50


@dataclass(frozen=True)
class Level:
    """One number of devices. busy: share of a core that the service took."""

    devices: int
    resident_bytes: int
    busy: float
    outcome: SimulationOutcome | None


def measure(place: Workplace) -> list[Figure]:
    """Return memory and processor over the number of devices, and waits for acks."""
    with MosquittoBroker(place.folder / "broker") as broker:
        none = _level(place, broker, 0, 0.0)
        figures = [
            Figure(what="no device: memory", unit="MB", samples=(none.resident_bytes / 1e6,)),
            _busy("no device", none),
        ]
        for devices in _IDLE[place.effort]:
            figures += _idle(_level(place, broker, devices, 0.0), none)
        for devices in _SENDING[place.effort]:
            figures += _sending(_level(place, broker, devices, _RATE))
    return [figure for figure in figures if figure.value > 0]


def _idle(level: Level, none: Level) -> list[Figure]:
    what = f"{level.devices} idle devices"
    added = (level.resident_bytes - none.resident_bytes) / 1e6
    target = at_most(_MEMORY_MB) if level.devices == _MOST else None
    memory = Figure(
        what=f"{what}: memory on top", unit="MB", samples=(max(0.0, added),), target=target
    )
    return [memory, _busy(what, level)]


def _sending(level: Level) -> list[Figure]:
    what = f"{level.devices} sending devices"
    outcome = level.outcome
    assert outcome is not None
    figures = [_busy(what, level)]
    for name, wait in (
        ("median", outcome.ack_wait_ms_median),
        ("95th percentile", outcome.ack_wait_ms_p95),
    ):
        assert wait is not None, f"{what}: no ack came"
        figures.append(
            Figure(
                what=f"{what}: wait for an ack, {name}",
                unit="ms",
                samples=(wait,),
                target=at_most(_ACK_WAIT_MS) if name == "median" else None,
            )
        )
    return figures


def _busy(what: str, level: Level) -> Figure:
    return Figure(what=f"{what}: share of a core", unit="%", samples=(100 * level.busy,))


def _level(place: Workplace, broker: Broker, devices: int, rate: float) -> Level:
    state = place.folder / "state"
    seconds = _SECONDS[place.effort]
    with ServiceProcess(place.bundle, broker, state) as service:
        before = (time.monotonic(), service.processor_s)

        def begin(_text: str) -> None:
            nonlocal before
            before = (time.monotonic(), service.processor_s)

        outcome = None
        if devices:
            settings = SimulationSettings(
                bundle=place.bundle.folder,
                broker=parse_broker(broker.url),
                devices=devices,
                rate=rate,
                seconds=seconds,
                message_bytes=_MESSAGE_KIB << 10,
            )
            outcome = simulate(settings, tell=begin)
        else:
            time.sleep(seconds)
        busy = (service.processor_s - before[1]) / (time.monotonic() - before[0])
        level = Level(devices, service.resident_bytes, busy, outcome)
    place.tell(
        f"{devices} devices, rate {rate:g}: {level.resident_bytes / 1e6:.0f} MB, "
        f"{busy:.0%} of a core"
    )
    shutil.rmtree(state)
    return level
