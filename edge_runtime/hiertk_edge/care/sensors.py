"""What Linux tells of this process's memory and of the machine's temperature."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

THERMAL = Path("/sys/class/thermal")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Return how much memory this process holds now."""
    _, resident, *_ = Path("/proc/self/statm").read_text().split()
    return int(resident) * _PAGE_BYTES


def hottest_c(thermal: Path | None = None) -> float:
    """Return the temperature of the hottest sensor, degrees Celsius; NaN if there is none."""
    return max(_temperatures(thermal or THERMAL), default=math.nan)


def _temperatures(thermal: Path) -> Iterator[float]:
    for zone in thermal.glob("thermal_zone*/temp"):
        # A sensor may be switched off, or come and go with its driver.
        with suppress(OSError, ValueError):
            yield int(zone.read_text()) / 1000
