"""Files of results: what every study keeps, and where it was run."""

from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import TypeVar

from hiertk_protocol import machine_info
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.files import atomic_file
from hiertk_protocol.profile import MachineInfo
from pydantic import BaseModel, ConfigDict, ValidationError

_MAX_BYTES = 32 << 20
_PACKAGES = ("torch", "torchvision", "onnxruntime-training-cpu", "executorch", "numpy")


class Record(BaseModel):
    """A part of a study's results: strict, and fixed once it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Kind = TypeVar("Kind", bound=Record)


class Machine(Record):
    """Where it was run."""

    hardware: MachineInfo
    python: str
    versions: dict[str, str]

    def is_like(self, other: "Machine") -> bool:
        """Whether the same training gives the same weights there: its arithmetic is the same."""
        mine, theirs = self.hardware.processor, other.hardware.processor
        return (mine, self.versions) == (theirs, other.versions)


def this_machine() -> Machine:
    """Describe this machine and the versions that were in use."""
    return Machine(
        hardware=machine_info.this_machine(),
        python=python_version(),
        versions={name: found for name in _PACKAGES if (found := _version(name))},
    )


def today() -> str:
    """Return the date as it stands in results."""
    return datetime.now(tz=timezone.utc).date().isoformat()


def write_record(path: Path, record: BaseModel) -> None:
    """Write a record as JSON. Raises StorageError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        temporary.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")


def put_back_record(path: Path, record: BaseModel) -> None:
    """Write a record as JSON where there is none; what is there stays. Raises StorageError."""
    if not path.exists():
        write_record(path, record)


def read_record(path: Path, kind: type[Kind]) -> Kind | None:
    """Return a record; None if it is not there. Raises ConfigError for anything else."""
    if not path.exists():
        return None
    try:
        with path.open("rb") as file:
            return kind.model_validate_json(file.read(_MAX_BYTES))
    except (OSError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"{path}: nothing of this version ({first}): remove it") from error


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
