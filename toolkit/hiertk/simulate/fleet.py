"""Many simulated devices in one thread: one selector, a connection each."""

import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.bundle import open_bundle
from hiertk_protocol.errors import ProtocolError, TransportError
from hiertk_protocol.hiertk_pb2 import DeviceStatus
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.mqtt import BrokerAddress
from hiertk_protocol.topics import Topics

from hiertk.option_checks import check_range
from hiertk.simulate.connection import Connection
from hiertk.simulate.device import SimulatedDevice
from hiertk.simulate.messages import make_features
from hiertk.simulate.outcome import SimulationOutcome, outcome_of

_TEMPLATES = 4  # different contents; the devices take turns
_CONNECT_TIMEOUT_S = 60.0
_POLL_S = 0.02
_CARE_EVERY_S = 0.5

Clock = Callable[[], float]


@dataclass(frozen=True)
class SimulationSettings:
    """What is simulated.

    rate: batches per second and device; 0 for devices that only say that they are there.
    message_bytes: of a message, about. drain_s: how long to wait for the last acks.
    """

    bundle: Path
    broker: BrokerAddress
    devices: int = 10
    rate: float = 1.0
    seconds: float = 30.0
    message_bytes: int = 64 << 10
    name: str = "sim"
    drain_s: float = 15.0

    def check(self) -> None:
        """Refuse what cannot be simulated. Raises ConfigError."""
        check_range("--devices", self.devices, 1, 2000, "devices")
        check_range("--size", self.message_bytes >> 10, 1, 1024, "KiB")


def simulate(
    settings: SimulationSettings, tell: Callable[[str], None] = lambda _text: None
) -> SimulationOutcome:
    """Run the devices until their time is over or Ctrl-C, wait for the last acks, and report.

    Raises ConfigError, BundleError, or TransportError if the broker refuses a device.
    """
    settings.check()
    manifest = open_bundle(settings.bundle).manifest
    fleet = Fleet(manifest, settings)
    try:
        fleet.connect()
        tell(f"{settings.devices} devices are connected")
        started = time.monotonic()
        was_interrupted = _run(fleet, settings)
        seconds = time.monotonic() - started
    finally:
        fleet.close()
    return outcome_of(
        [member.device for member in fleet.members],
        seconds=seconds,
        message_bytes=fleet.message_bytes,
        was_interrupted=was_interrupted,
    )


def _run(fleet: "Fleet", settings: SimulationSettings) -> bool:
    try:
        fleet.run(settings.seconds)
        fleet.drain(settings.drain_s)
    except KeyboardInterrupt:
        return True
    return False


@dataclass
class Member:
    """A device, its connection, and when its next batch is due."""

    device: SimulatedDevice
    connection: Connection
    batch_due: float
    events: int = 0


class Fleet:
    """All devices of one simulation."""

    def __init__(self, manifest: Manifest, settings: SimulationSettings) -> None:
        self.members: list[Member] = []
        self._settings = settings
        self._topics = Topics(manifest.deployment)
        self._templates = [
            make_features(manifest, settings.message_bytes, seed) for seed in range(_TEMPLATES)
        ]
        self._selector = selectors.DefaultSelector()
        self._care_due = 0.0

    @property
    def message_bytes(self) -> int:
        """Bytes of the features' part of a message."""
        return int(self._templates[0].ByteSize())

    def connect(self) -> None:
        """Connect every device and subscribe. Raises TransportError."""
        for number in range(self._settings.devices):
            self.members.append(self._member(number))
            self._serve(0.0, time.monotonic())
        deadline = time.monotonic() + _CONNECT_TIMEOUT_S
        while not all(member.connection.is_ready for member in self.members):
            self._serve(_POLL_S, time.monotonic())
            if time.monotonic() > deadline:
                raise TransportError(f"{self._settings.broker}: not all devices got their topics")

    def run(self, seconds: float) -> None:
        """Send batches and statuses for so long, spread evenly over time."""
        start = time.monotonic()
        for place, member in enumerate(self.members):
            if self._settings.rate:
                member.batch_due = start + place / len(self.members) / self._settings.rate
        while (now := time.monotonic()) < start + seconds:
            self._make_batches(now)
            self._step(now)

    def drain(self, seconds: float) -> None:
        """Wait until everything is acknowledged, for so long at most."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            if all(member.device.is_drained for member in self.members):
                return
            self._step(now)

    def close(self) -> None:
        """Say goodbye with the last status, for those that are connected."""
        for member in self.members:
            if member.connection.is_open:
                words = member.device.last_words(DeviceStatus.FINISHED)
                member.connection.publish(words.topic, words.payload, retain=True)
                member.connection.close()
        self._selector.close()

    def _member(self, number: int) -> Member:
        device = SimulatedDevice(
            self._topics,
            f"{self._settings.name}-{number:04d}",
            self._templates[number % len(self._templates)],
        )
        connection = Connection(
            self._settings.broker,
            f"hiertk-{self._topics.deployment}-{device.name}",
            device.subscriptions,
            device.will,
        )
        member = Member(device, connection, batch_due=float("inf"))
        member.events = selectors.EVENT_READ
        self._selector.register(connection, member.events, member)
        return member

    def _make_batches(self, now: float) -> None:
        for member in self.members:
            while member.batch_due <= now:
                member.batch_due += 1 / self._settings.rate
                member.device.make_batch()

    def _step(self, now: float) -> None:
        for member in self.members:
            for payload in member.device.to_send(now):
                topic = self._topics.features(member.device.name)
                member.connection.publish(topic, payload)
            status = member.device.status_if_due(now)
            if status is not None:
                topic = self._topics.status(member.device.name)
                member.connection.publish(topic, status, retain=True)
        self._serve(_POLL_S, now)

    def _serve(self, timeout_s: float, now: float) -> None:
        self._care(now)
        for key, events in self._selector.select(timeout_s):
            member: Member = key.data
            if events & selectors.EVENT_READ:
                member.connection.read()
            if events & selectors.EVENT_WRITE:
                member.connection.write()
            self._take_inbox(member)

    def _care(self, now: float) -> None:
        """Ping, refuse to go on without a device, and ask for room to write where it is needed."""
        is_due = now >= self._care_due
        for member in self.members:
            connection = member.connection
            if is_due:
                connection.keep_alive()
            if not connection.is_open:
                why = connection.refusal or "the connection broke"
                raise TransportError(f"{self._settings.broker}: {member.device.name}: {why}")
            wanted = selectors.EVENT_READ
            if connection.wants_to_write:
                wanted |= selectors.EVENT_WRITE
            if wanted != member.events:
                self._selector.modify(connection, wanted, member)
                member.events = wanted
        if is_due:
            self._care_due = now + _CARE_EVERY_S

    def _take_inbox(self, member: Member) -> None:
        now = time.monotonic()
        inbox, member.connection.inbox = member.connection.inbox, []
        for topic, payload in inbox:
            _take(member.device, topic, payload, now)


def _take(device: SimulatedDevice, topic: str, payload: bytes, now: float) -> None:
    try:
        device.take(topic, payload, now)
    except ProtocolError as error:
        device.reasons.add(f"ignored from the broker: {error}")
