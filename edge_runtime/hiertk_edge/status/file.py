"""status.json: what the running agent tells `hiertk-edge status`, and whether it still runs.

A clock may be wrong at boot and set later, so a status is dated by the time since boot, too.
"""

import json
import math
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hiertk_protocol.errors import StorageError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

NAME = "status.json"
MAX_CLASSES = 300  # with the longest names they fit the largest file that is read
_MAX_BYTES = 1 << 20
_SILENT_AFTER_S = 60.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Writer(BaseModel):
    """Who wrote a status, and when.

    process_start: clock ticks from boot to the start of the process, which tells it from a later
    one with its number. written: seconds since 1970, as the device's clock had it. uptime_s: since
    boot.
    """

    model_config = ConfigDict(frozen=True)

    pid: int = Field(ge=1)
    process_start: int = Field(ge=0)
    boot_id: str = Field(max_length=64)
    written: float
    uptime_s: float

    @property
    def is_there(self) -> bool:
        """Whether the process still runs."""
        # Not by the boot id: containers show another one than the services in them see.
        return self.uptime_s <= uptime_s() and self.process_start == _process_start(self.pid)

    @property
    def age_s(self) -> float | None:
        """Seconds since it was written; None: the machine was started since, and nobody knows."""
        is_of_this_boot = self.is_there or self.boot_id == _boot_id()
        return uptime_s() - self.uptime_s if is_of_this_boot else None

    @property
    def is_silent(self) -> bool:
        """Whether the process runs, but has written nothing for a minute."""
        return self.is_there and (self.age_s or 0.0) > _SILENT_AFTER_S


class ClassStatus(BaseModel):
    """One class on the device.

    slot: of both exits; of a provisional class, the device's own until the cloud gives it one.
    seen: labelled images that training took. kept: those in the rehearsal memory. held_out: those
    that never train. early_exit_accuracy: on the held-out ones, share of 1; None until measured.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    slot: int
    is_provisional: bool = False
    seen: int | None = None
    kept: int = 0
    held_out: int = 0
    early_exit_accuracy: float | None = None


class Status(BaseModel):
    """What the agent tells: the fields of DeviceStatus by name, and what only the device knows.

    None and empty: not told. cloud_step, final_exit_*: the cloud's, while it is online.
    class_map_version: the newest that is in place. class_maps_ignored: those that could not be.
    classes: MAX_CLASSES at most. broker: how the connection is, in a few words. endpoint: its URL.
    corrections: predictions that somebody gave the label of; right_share: how many of them said it
    already. checkpoint_uptime_s: since boot, when the newest one was written. spool_max_bytes,
    budget_bytes: 0 is no limit.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    writer: Writer
    device: str = ""
    deployment: str = ""
    backend: str = ""
    state: str = ""
    edge_step: int | None = None
    early_exit_loss: float | None = None
    early_exit_accuracy: float | None = None
    early_exit_held_out_accuracy: float | None = None
    cloud_step: int | None = None
    final_exit_loss: float | None = None
    final_exit_accuracy: float | None = None
    final_exit_held_out_accuracy: float | None = None
    step_ms: float | None = None
    bits: int | None = None
    spool_batches: int | None = None
    spool_bytes: int | None = None
    spool_max_bytes: int = 0
    dropped_total: int = 0
    aged_total: int = 0
    thinned_total: int = 0
    requantized_total: int = 0
    refused_total: int = 0
    sent_total: int | None = None
    wire_bytes: int | None = None
    budget_bytes: int = 0
    budget_left_bytes: int | None = None
    broker: str = ""
    endpoint: str = ""
    waiting_samples: int | None = None
    rehearsal_samples: int | None = None
    class_map_version: int | None = None
    class_maps_ignored: int = 0
    classes: tuple[ClassStatus, ...] = ()
    bad_images: int = 0
    mislabelled_images: int = 0
    predictions_total: int | None = None
    predictions_by_cloud: int | None = None
    corrections: int = 0
    right_share: float | None = None
    temperature_c: float | None = None
    memory_bytes: int | None = None
    checkpoint_step: int | None = None
    checkpoint_uptime_s: float | None = None
    problems: tuple[str, ...] = ()


class StatusFile:
    """Writes the status of this process, whole or not at all."""

    def __init__(self, path: Path) -> None:
        """Take over a file that another process may have left."""
        self._path = path
        self._process_start = _process_start(os.getpid()) or 0

    def write(self, status: Mapping[str, Any]) -> None:
        """Write what `Status` has, without its writer. Raises StorageError.

        Not forced to the disk: after a power cut it is of no use, and each time would wear a card.
        """
        writer = Writer(
            pid=os.getpid(),
            process_start=self._process_start,
            boot_id=_boot_id(),
            written=time.time(),
            uptime_s=uptime_s(),
        )
        values = {name: _or_none(value) for name, value in status.items()}
        text = json.dumps({"writer": writer.model_dump(), **values}, allow_nan=False)
        temporary = self._path.with_name(f".{NAME}.tmp")
        try:
            temporary.write_text(text)
            temporary.replace(self._path)
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {error.strerror}") from error


def status_path(state: Path) -> Path:
    """Return where the status of a device goes: the unit's folder in memory, else its state."""
    runtime, _, _ = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")
    return Path(runtime or state) / NAME


def read_status(path: Path) -> Status | None:
    """Read a status; None if there is none. Raises StorageError if it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise StorageError(f"{path}: more than {_MAX_BYTES} bytes: not a status: remove it")
        return Status.model_validate_json(data)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise StorageError(f"{path}: {error.strerror}: ask with sudo") from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        raise StorageError(f"{path} is no status of hiertk-edge: remove it") from error


def uptime_s() -> float:
    """Return the seconds since boot, those that the machine slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _or_none(value: object) -> object:
    """Return a measure as JSON has it: NaN, which stands for unknown, as None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _boot_id() -> str:
    with suppress(OSError):
        return _BOOT_ID.read_text().strip()
    return ""


def _process_start(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since boot; None if there is none."""
    with suppress(OSError, ValueError, IndexError):
        # Behind the name, which may hold spaces and brackets: field 3 and on of proc(5).
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else int(fields[19])
    return None
