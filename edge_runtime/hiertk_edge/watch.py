"""How a run is watched and stopped from outside, and how it ended."""

from collections.abc import Callable
from dataclasses import dataclass

from hiertk_protocol.hiertk_pb2 import DeviceStatus


@dataclass(frozen=True)
class Watch:
    """What the outside asks, and what it is shown: after every step, and once a second."""

    stop_asked: Callable[[], bool] = lambda: False
    show: Callable[[DeviceStatus], None] = lambda _status: None


@dataclass(frozen=True)
class Outcome:
    """How a run ended. finished: everything is trained and acknowledged."""

    finished: bool
    status: DeviceStatus
    seconds: float
