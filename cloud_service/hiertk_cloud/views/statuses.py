"""What devices say of themselves: their newest status."""

import time
from collections.abc import Callable

from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import DeviceStatus
from hiertk_protocol.messages import parse_device_status
from hiertk_protocol.topics import Topics

MAX_DEVICES = 10_000


class DeviceStatuses:
    """Filled by the link's thread; any thread may read."""

    def __init__(
        self,
        topics: Topics,
        heard: Callable[[str, DeviceStatus], None] = lambda _device, _status: None,
    ) -> None:
        """Prepare. heard: gets each device and its status."""
        self._topics = topics
        self._heard = heard
        self._newest: dict[str, DeviceStatus] = {}
        self._seen: dict[str, float] = {}

    def receive(self, topic: str, payload: bytes) -> None:
        """Take a device's status. Raises ProtocolError."""
        device = self._topics.device_of(topic)
        if device is None:
            raise ProtocolError(f"a status on {topic[:200]!r}")
        if device not in self._newest and len(self._newest) >= MAX_DEVICES:
            raise ProtocolError(f"{device}: more than {MAX_DEVICES} devices")
        if not payload:  # its retained status was deleted
            return
        status = parse_device_status(payload)
        self._newest[device] = status
        self._seen[device] = time.time()
        self._heard(device, status)

    def of(self, device: str) -> DeviceStatus | None:
        """Return the newest status of a device; not to be changed."""
        return self._newest.get(device)

    def seen(self, device: str) -> float | None:
        """Return when it came, seconds since 1970."""
        return self._seen.get(device)

    @property
    def devices(self) -> frozenset[str]:
        """Who has ever said something."""
        return frozenset(self._newest.copy())
