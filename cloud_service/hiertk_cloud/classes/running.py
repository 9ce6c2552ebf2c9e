"""The classes while the service runs: registry, requests, confirmations and the published map.

Whatever is committed is committed in the writer's thread, which calls `turn`.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hiertk_protocol.hiertk_pb2 import DeviceStatus
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.mqtt import Incoming, Request
from hiertk_protocol.topics import Topics

from hiertk_cloud.classes.changes import Change, Kind
from hiertk_cloud.classes.confirmations import Confirmations
from hiertk_cloud.classes.registry import ClassRegistry
from hiertk_cloud.classes.requests import ClassRequests
from hiertk_cloud.requests.desk import RequestTotals

_LOOK_EVERY_S = 0.5  # for changes by commands


class PublishMap(Protocol):
    """What sends a message: MqttLink.publish."""

    def __call__(
        self, topic: str, payload: bytes, *, retain: bool = False, request: Request | None = None
    ) -> object: ...


@dataclass(frozen=True)
class ClassTotals:
    """The classes at one moment.

    free: slots that a class may get. waiting: slots of classes that are gone, until every device
    has confirmed that. versions_refused: confirmations of a class map that was never made.
    """

    version: int
    classes: int
    capacity: int
    free: int
    waiting: int
    requests: RequestTotals
    versions_refused: int


class RunningClasses:
    """One deployment's classes, once their registry is open."""

    def __init__(
        self,
        manifest: Manifest,
        registry: ClassRegistry,
        *,
        publish: PublishMap,
        tell: Callable[[str, str], None],
        say: Callable[[str, str], None],
    ) -> None:
        """Prepare. tell: gets what is said once of a kind. say: gets each change of the map."""
        self.registry = registry
        self._topic = Topics(manifest.deployment).class_map
        self._publish = publish
        self._say = say
        self._publishing = threading.Lock()
        self._published = 0  # the newest version that was
        self._said = len(registry.changes)
        self._look_due = 0.0
        self._requests = ClassRequests(manifest, registry, publish=publish, tell=tell)
        self._confirmations = Confirmations(
            registry,
            lambda device, reason: tell("refused-class-map-version", f"{device}: {reason}"),
        )

    @property
    def totals(self) -> ClassTotals:
        """The counts of this moment."""
        newest, free = self.registry.history.newest, self.registry.free
        return ClassTotals(
            version=newest.version,
            classes=len(newest.slots),
            capacity=self.registry.capacity,
            free=len(free.ready),
            waiting=len(free.waiting),
            requests=self._requests.totals,
            versions_refused=self._confirmations.refused_total,
        )

    def receive(self, incoming: Incoming) -> None:
        """Take a request from the broker; never blocks."""
        self._requests.receive(incoming)

    def hear(self, device: str) -> None:
        """Note that a device sent a feature batch."""
        self._confirmations.hear(device)

    def hear_status(self, device: str, status: DeviceStatus) -> None:
        """Note which class map a device has put in place."""
        self._confirmations.hear_status(device, status)

    def publish(self) -> None:
        """Publish the newest class map, retained; any thread."""
        with self._publishing:  # else an older one might be the last that the broker gets
            newest = self.registry.history.newest
            self._publish(self._topic, newest.to_message().SerializeToString(), retain=True)
            self._published = newest.version

    def turn(self) -> None:
        """Answer requests, keep confirmations, publish what has changed. Raises StorageError."""
        self._requests.turn()
        self._confirmations.turn()
        now = time.monotonic()
        if now >= self._look_due:
            self._look_due = now + _LOOK_EVERY_S
            self.registry.refresh()
        if self.registry.history.newest.version != self._published:
            self.publish()
            self._say_changes()

    def _say_changes(self) -> None:
        changes = self.registry.changes
        for change in changes[self._said :]:
            self._say("class-map", _line(change, self.registry))
        self._said = len(changes)


def _line(change: Change, registry: ClassRegistry) -> str:
    what = f"class map {change.version}: class {change.name!r}"
    if change.kind is Kind.RETIRE:
        return f"{what} is retired from slot {change.slot}"
    if change.kind is Kind.MERGE and change.into is not None:
        target = registry.history.at(change.version).by_slot[change.into].name
        return f"{what} is merged into {target!r}"
    return f"{what} gets slot {change.slot}, asked for by {change.device or 'the operator'}"
