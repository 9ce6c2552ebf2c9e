"""The machine and the versions that figures belong to."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

_ENGINES = ("torch", "onnxruntime-training-cpu", "numpy", "zstandard", "paho-mqtt", "protobuf")


class Machine(BaseModel):
    """Where something was measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    processor: str
    cores: int
    memory_gb: float
    system: str
    python: str
    versions: dict[str, str]

    @property
    def text(self) -> str:
        """The machine in one line."""
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return (
            f"{self.processor}, {self.cores} cores, {self.memory_gb:.0f} GB; {self.system}; "
            f"Python {self.python}; {versions}"
        )


def this_machine() -> Machine:
    """Describe this machine."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        system=f"{_distribution()}, Linux {platform.release()}, {platform.machine()}",
        python=sys.version.split()[0],
        versions={name: version(name) for name in _ENGINES},
    )


def _processor() -> str:
    """Return the model's name, with family and model, which virtual machines do not hide."""
    wanted = {"model name": "unknown processor", "cpu family": "?", "model": "?", "cpu MHz": ""}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in wanted:
            wanted[name.strip()] = value.strip()
    return f"{wanted['model name']} (family {wanted['cpu family']}, model {wanted['model']})"


def _distribution() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
