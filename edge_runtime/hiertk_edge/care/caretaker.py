"""Pauses training while the machine is too hot or the process too large; predictions go on."""

import ctypes
import gc
import logging
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from hiertk_protocol.host.problems import Problems

from hiertk_edge.care.sensors import hottest_c, resident_bytes

_LOOK_EVERY_S = 1.0
_COOLER_C = 5.0
_SMALLER = 0.95
_MB = 1 << 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CareLimits:
    """When training pauses. 0 is no limit.

    max_memory_bytes: of this process's resident memory. max_temperature_c: of the hottest sensor.
    """

    max_memory_bytes: int = 0
    max_temperature_c: float = 0.0


@dataclass(frozen=True)
class Sensors:
    """Where the readings come from."""

    temperature_c: Callable[[], float] = hottest_c
    memory_bytes: Callable[[], int] = resident_bytes
    now: Callable[[], float] = time.monotonic


class Caretaker:
    """Looks at most once a second; training goes on 5 degrees, or 5 % of memory, below a limit."""

    def __init__(
        self, limits: CareLimits, problems: Problems, sensors: Sensors | None = None
    ) -> None:
        self._limits = limits
        self._problems = problems
        self._sensors = sensors or Sensors()
        self._due = -math.inf
        self._is_hot = False
        self._is_large = False
        self.temperature_c = math.nan

    def may_train(self) -> bool:
        """Return whether training may go on; what keeps it is among the problems."""
        now = self._sensors.now()
        if now >= self._due:
            self._due = now + _LOOK_EVERY_S
            self._look_at_heat()
            self._look_at_memory()
        return not (self._is_hot or self._is_large)

    def _look_at_heat(self) -> None:
        self.temperature_c = self._sensors.temperature_c()
        limit = self._limits.max_temperature_c
        if not limit:
            return
        # A sensor that is gone (NaN) is no reason to pause, nor to go on.
        if self.temperature_c >= limit:
            self._is_hot = True
            self._problems.begin(
                "heat",
                f"training pauses at {self.temperature_c:.0f} C (limit {limit:.0f}): "
                "cool the device, or set fewer threads",
            )
        elif self.temperature_c <= limit - _COOLER_C:
            self._is_hot = False
            self._problems.end("heat", f"{self.temperature_c:.0f} C: training goes on")

    def _look_at_memory(self) -> None:
        limit = self._limits.max_memory_bytes
        if not limit:
            return
        held = self._sensors.memory_bytes()
        if held > limit:
            _give_back_freed()
            held = self._sensors.memory_bytes()
        if held > limit:
            self._is_large = True
            self._problems.begin(
                "memory",
                f"training pauses: the process holds {held / _MB:.0f} MiB (limit "
                f"{limit / _MB:.0f}): set a smaller batch size, or a higher limit",
            )
        elif held <= _SMALLER * limit:
            self._is_large = False
            self._problems.end("memory", f"{held / _MB:.0f} MiB held: training goes on")


def set_nice(level: int) -> None:
    """Lower this thread's priority, and that of the threads that it starts, to a nice level."""
    if level <= os.getpriority(os.PRIO_PROCESS, 0):
        return  # already as low: only root may raise it again
    try:
        os.setpriority(os.PRIO_PROCESS, 0, level)
    except OSError as error:
        _log.warning("nice level %d: %s: the priority stays", level, error.strerror)


def _give_back_freed() -> None:
    gc.collect()
    with suppress(AttributeError, OSError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)
