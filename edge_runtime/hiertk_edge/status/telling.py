"""Telling how the device is: the cloud, the terminal, systemd, and `hiertk-edge status`."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiertk_protocol.errors import StorageError
from hiertk_protocol.hiertk_pb2 import DeviceStatus
from hiertk_protocol.host.notify import Notifier
from hiertk_protocol.host.problems import Problems

from hiertk_edge.status.file import StatusFile
from hiertk_edge.status.report import human_line, is_news
from hiertk_edge.status.view import DeviceView
from hiertk_edge.uplink import Uplink

if TYPE_CHECKING:
    from hiertk_edge.endpoint.server import Endpoint

_OF_CLOUD = (
    "cloud_step",
    "final_exit_loss",
    "final_exit_accuracy",
    "final_exit_held_out_accuracy",
)
_FILE_EVERY_S = 5.0
_SYSTEMD_EVERY_S = 1.0


class Telling:
    """Takes the agent's state after every step and at least once a second."""

    def __init__(
        self,
        view: DeviceView,
        uplink: Uplink,
        problems: Problems,
        *,
        show: Callable[[DeviceStatus], None],
        status_file: Path,
    ) -> None:
        self._view = view
        self._uplink = uplink
        self._problems = problems
        self._show = show
        self._file = StatusFile(status_file)
        self._notifier = Notifier()
        self._file_due = 0.0
        self._systemd_due = 0.0
        self._state: DeviceStatus.State = DeviceStatus.OFFLINE
        self.endpoint: Endpoint | None = None
        """Once it listens."""

    def report(self, state: DeviceStatus.State) -> None:
        """Tell everybody who is due. Raises what ended the uplink's thread."""
        self._uplink.check()
        own = self._view.status(state)
        if self.endpoint is not None:
            own.bad_images += self.endpoint.counts.bad
            own.mislabelled_images += self.endpoint.counts.mislabelled
        self._uplink.report(own)
        status = self._uplink.status()
        self._show(status)
        now = time.monotonic()
        if now >= self._file_due or is_news(self._state, state):
            self._file_due = now + _FILE_EVERY_S
            self._write(status)
        if now >= self._systemd_due:
            self._systemd_due = now + _SYSTEMD_EVERY_S
            self._notifier.watchdog()
            self._notifier.status(human_line(status))
        self._state = state

    def details(self) -> dict[str, Any]:
        """Return all that is known now, as status.json has it; any thread may call it."""
        return self._details(self._uplink.status())

    def started(self) -> None:
        """Say that what waits for this service may start."""
        self._notifier.ready()

    def stopping(self, state: DeviceStatus.State) -> None:
        """Say that this is the end, and in which state."""
        self._notifier.stopping()
        status = self._uplink.status()
        status.state = state
        self._write(status)

    def _details(self, status: DeviceStatus) -> dict[str, Any]:
        is_online = self._uplink.cloud_is_online
        more: dict[str, Any] = {"broker": "the cloud is online" if is_online else "no cloud"}
        cloud = self._uplink.cloud
        if cloud is not None:
            more |= {name: getattr(cloud, name) for name in _OF_CLOUD}
        if self.endpoint is not None:
            counts = self.endpoint.counts
            more |= {
                "endpoint": self.endpoint.address,
                "corrections": counts.corrections,
                "right_share": counts.right_share,
            }
        return self._view.details(status) | more

    def _write(self, status: DeviceStatus) -> None:
        try:
            self._file.write(self._details(status))
        except StorageError as error:
            self._problems.begin("status", f"{error}: `hiertk-edge status` shows an old one")
            return
        self._problems.end("status")
