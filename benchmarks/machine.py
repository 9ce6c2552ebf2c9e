"""The machine and the versions that figures belong to."""

import sys
from importlib.metadata import version

from hiertk_protocol import machine_info
from pydantic import BaseModel, ConfigDict

_ENGINES = (
    "torch",
    "onnxruntime-training-cpu",
    "executorch",
    "numpy",
    "zstandard",
    "paho-mqtt",
    "protobuf",
)


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
    here = machine_info.this_machine()
    return Machine(
        processor=here.processor,
        cores=here.cores,
        memory_gb=here.memory_bytes / 1e9,
        system=here.system,
        python=sys.version.split()[0],
        versions={name: version(name) for name in _ENGINES},
    )
