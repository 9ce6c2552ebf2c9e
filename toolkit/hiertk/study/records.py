"""What the study finds, and the file that keeps it."""

from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version

from hiertk_protocol import machine_info
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.files import atomic_file
from hiertk_protocol.manifest import Backend
from hiertk_protocol.profile import MachineInfo
from pydantic import BaseModel, ConfigDict, ValidationError

_MAX_BYTES = 32 << 20
_PACKAGES = ("torch", "torchvision", "onnxruntime-training-cpu", "executorch", "numpy")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CellKey(_Record):
    """Which cell of the study: a method at a separation point with a seed and a backend."""

    method: str
    split: int
    seed: int
    backend: Backend

    @property
    def name(self) -> str:
        """Its name, for files and for people."""
        return f"{self.method}-split{self.split}-seed{self.seed}-{self.backend}"


class ExitShares(_Record):
    """Shares of right predictions of both exits, each with a value for each of some classes."""

    early: tuple[float, ...]
    final: tuple[float, ...]


class Mark(_Record):
    """What both exits know after the first few examples of a new class, on a few test images.

    new: on the new class; old: the mean over the classes before it. seconds: what the device's
    training on the examples took, None where nothing trains on a device.
    """

    examples: int
    seconds: float | None
    early_new: float
    early_old: float
    final_new: float
    final_old: float


class Phase(_Record):
    """What both exits know after a phase, on all test images.

    classes: those learned so far, in their order, which is that of `shares`. marks: of the new
    class, none in the first phase.
    """

    classes: tuple[str, ...]
    shares: ExitShares
    marks: tuple[Mark, ...] = ()


class Cell(_Record):
    """One cell's findings. phases: the base, then one for each new class; one of all at once.

    device_bytes, cloud_bytes: what was kept for not forgetting, at the end. edge_steps,
    cloud_steps: after the base, or all of them. seconds: all that the cell took.
    """

    key: CellKey
    base_classes: int
    phases: tuple[Phase, ...]
    device_bytes: int
    cloud_bytes: int
    edge_steps: int
    seconds: float

    @property
    def last(self) -> Phase:
        """The phase at the end."""
        return self.phases[-1]


class Settings(_Record):
    """What was run, as it stands in the results."""

    data: str
    model: str
    input_size: int
    bits: int
    base_classes: int
    base_images: int
    new_images: int
    memory_bytes: int
    test_images: int
    cloud_learning_rate: float


class Machine(_Record):
    """Where it was run."""

    hardware: MachineInfo
    python: str
    versions: dict[str, str]


class Study(_Record):
    """All findings. machine: the one that wrote them together; seconds: of all cells."""

    settings: Settings
    command: str
    date: str
    machine: Machine
    cells: tuple[Cell, ...]

    @property
    def seconds(self) -> float:
        """What all cells took, added up."""
        return sum(cell.seconds for cell in self.cells)


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


def read_cell(path: Path) -> Cell | None:
    """Return a finished cell; None if it is not there. Raises ConfigError for anything else."""
    if not path.exists():
        return None
    try:
        with path.open("rb") as file:
            return Cell.model_validate_json(file.read(_MAX_BYTES))
    except (OSError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"{path}: no cell of this version ({first}): remove it") from error


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
