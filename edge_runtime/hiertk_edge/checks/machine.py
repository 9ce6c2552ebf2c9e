"""The machine that a device trains on: its disk, clock, memory and temperature."""

import ctypes
import math
import os
import shutil
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import hiertk_protocol
from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.host.file_checks import nearest_existing
from hiertk_protocol.manifest import Backend

from hiertk_edge.care.sensors import hottest_c

_MIB = 1 << 20
_RESERVE_MIB = 64  # for two checkpoints, and the system's own writing
_SLACK_S = 60.0
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized
_TIMEX_BYTES = 512  # struct timex is some 200
# Peaks of the whole process, docs/benchmarks.md and docs/raspberry-pi.md.
_NEEDED_MIB: dict[Backend, int] = {"onnxruntime": 120, "executorch": 810, "torch": 810}


def look_at_disk(state: Path, *, largest_mib: float) -> str:
    """Say whether spool and rehearsal memory fit. Raises StorageError.

    largest_mib: what both may take.
    """
    place = nearest_existing(state)
    usage = shutil.disk_usage(place)
    free_mib = usage.free / _MIB
    coming_mib = max(largest_mib - _held_bytes(state) / _MIB, 0) + _RESERVE_MIB
    found = f"{free_mib:.0f} MiB free on {_kind_of(place)}, {usage.used / usage.total:.0%} full"
    if free_mib < coming_mib:
        raise StorageError(
            f"{found}; spool.max_mib and rehearsal.max_mib may take {coming_mib:.0f} MiB more: "
            "make room, or lower them"
        )
    return found


def look_at_clock(bundle: Path) -> str:
    """Say whether the clock can be right. Raises ConfigError."""
    newest = max(_date_of(bundle), _date_of(Path(hiertk_protocol.__file__)))
    now = time.time()
    if now < newest - _SLACK_S:
        raise ConfigError(
            f"{_date(now)} is before the bundle or HierTK was put here ({_date(newest)}): "
            "set the clock: timedatectl set-ntp true"
        )
    if is_synchronized():
        return f"{_date(now)}, synchronized"
    return (
        f"{_date(now)}, not synchronized: if it is wrong, certificates look expired or not yet "
        "valid: timedatectl set-ntp true"
    )


def look_at_memory(backend: Backend, *, limit_mib: int) -> str:
    """Say whether there is enough memory for an engine. Raises ConfigError.

    limit_mib: care.max_memory_mib, 0 for none.
    """
    needed = _NEEDED_MIB[backend]
    available = available_mib()
    if limit_mib and limit_mib < needed:
        raise ConfigError(
            f"care.max_memory_mib is {limit_mib}, and {backend} takes about {needed} MiB: "
            "training would pause for ever: raise it"
        )
    if available is not None and available < needed:
        raise ConfigError(
            f"{available} MiB available, {backend} takes about {needed}: end other programs, or "
            "export with a smaller --batch-size or an earlier separation point"
        )
    return f"{'unknown' if available is None else available} MiB available, about {needed} needed"


def look_at_temperature(limit_c: float) -> str:
    """Say how warm it is, and what that means for training. Raises ConfigError."""
    now_c = hottest_c()
    if math.isnan(now_c):
        return "no sensor: training never pauses for heat"
    if limit_c and now_c >= limit_c:
        raise ConfigError(
            f"{now_c:.0f} C, training pauses from care.max_temperature_c = {limit_c:g}: "
            "cool the device"
        )
    return f"{now_c:.0f} C, training pauses from {limit_c:g} C" if limit_c else f"{now_c:.0f} C"


def is_synchronized() -> bool:
    """Return whether the kernel's clock follows a time server, as far as one can see."""
    with suppress(AttributeError, OSError):
        reading = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes 0: nothing is set
        return 0 <= int(ctypes.CDLL(None).adjtimex(reading)) < _TIME_ERROR
    return False


def available_mib() -> int | None:
    """Return the memory that a new program can have; None: unknown."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) >> 10
    return None


def _held_bytes(state: Path) -> int:
    with suppress(OSError):
        return sum(path.stat().st_size for path in state.rglob("*") if path.is_file())
    return 0


def _kind_of(place: Path) -> str:
    number = place.stat().st_dev
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    name = device.resolve().name if device.exists() else ""
    if name.startswith("mmcblk"):
        return f"the card {name}"
    return name or "this file system"


def _date_of(path: Path) -> float:
    with suppress(OSError):
        manifest = path / "manifest.json"
        return (manifest if manifest.exists() else path).stat().st_mtime
    return 0.0


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds).astimezone():%F %T}"
