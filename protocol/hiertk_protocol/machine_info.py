"""The machine that a profile belongs to, as its system describes it."""

import os
import platform
from pathlib import Path

from hiertk_protocol.profile import MachineInfo

_CPUINFO = Path("/proc/cpuinfo")
_DEVICE_TREE = Path("/proc/device-tree/model")  # a board's own name, on ARM


def this_machine() -> MachineInfo:
    """Describe this machine: processor, usable cores, memory, system."""
    return MachineInfo(
        processor=_processor()[:200],
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=f"{_distribution()}, Linux {platform.release()}, {platform.machine()}"[:200],
    )


def processor_of(cpuinfo: str) -> str | None:
    """Return the model's name, with family and model, which virtual machines do not hide."""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    if not fields.get("model name"):
        return None
    if "cpu family" not in fields:
        return fields["model name"]
    return (
        f"{fields['model name']} (family {fields['cpu family']}, model {fields.get('model', '?')})"
    )


def _processor() -> str:
    board = _text_of(_DEVICE_TREE).strip("\0 \n")
    return board or processor_of(_text_of(_CPUINFO)) or platform.machine() or "unknown processor"


def _text_of(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:  # no os-release, as in the smallest containers
        return "Linux"
