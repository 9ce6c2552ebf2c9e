"""Watching a deployment as anyone may: through the retained status messages on the broker."""

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import DeviceStatus, ModelStatus
from hiertk_protocol.messages import parse_device_status, parse_model_status
from hiertk_protocol.mqtt import Handlers, Incoming, MqttLink, Will, parse_broker
from hiertk_protocol.topics import Topics
from typing_extensions import Self


@dataclass(frozen=True)
class Moment:
    """The state of all parts, `seconds` after the watch began."""

    seconds: float
    model: ModelStatus
    devices: dict[str, DeviceStatus]


@dataclass
class Watcher:
    """Keeps the newest status of each part while it is entered, and a history of them."""

    broker: str
    deployment: str
    history: list[Moment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._topics = Topics(self.deployment)
        self._lock = threading.Lock()
        self._model = ModelStatus()
        self._devices: dict[str, DeviceStatus] = {}
        self._began = time.monotonic()
        self._link = MqttLink(
            parse_broker(self.broker),
            client_id=f"hiertk-{self.deployment}-watcher",
            subscriptions=(self._topics.status("+"), self._topics.model),
            will=Will(f"{self._topics.root}/watcher", b""),
            handlers=Handlers(self._on_message, lambda: None, lambda _reason: None),
            max_message_bytes=1 << 16,
        )

    def __enter__(self) -> Self:
        self._link.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._link.stop()

    def now(self) -> Moment:
        """Return the newest state, and note it in the history."""
        with self._lock:
            moment = Moment(time.monotonic() - self._began, _copy(self._model), dict(self._devices))
        self.history.append(moment)
        return moment

    def _on_message(self, incoming: Incoming) -> None:
        topic, payload = incoming.topic, incoming.payload
        device = self._topics.device_of(topic)
        try:
            if topic == self._topics.model:
                model = parse_model_status(payload)
                with self._lock:
                    self._model = model
            elif device is not None and topic == self._topics.status(device):
                status = parse_device_status(payload)
                with self._lock:
                    self._devices[device] = status
        except ProtocolError:
            return  # whoever publishes on this broker may publish nonsense; it is not shown


def _copy(model: ModelStatus) -> ModelStatus:
    copied = ModelStatus()
    copied.CopyFrom(model)
    return copied
