"""What the study of new classes finds."""

from hiertk_protocol.manifest import Backend

from hiertk.study.records import Machine, Record


class CellKey(Record):
    """Which cell of the study: a method at a separation point with a seed and a backend."""

    method: str
    split: int
    seed: int
    backend: Backend

    @property
    def name(self) -> str:
        """Its name, for files and for people."""
        return f"{self.method}-split{self.split}-seed{self.seed}-{self.backend}"


class ExitShares(Record):
    """Shares of right predictions of both exits, each with a value for each of some classes."""

    early: tuple[float, ...]
    final: tuple[float, ...]


class Mark(Record):
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


class Phase(Record):
    """What both exits know after a phase, on all test images.

    classes: those learned so far, in their order, which is that of `shares`. marks: of the new
    class, none in the first phase.
    """

    classes: tuple[str, ...]
    shares: ExitShares
    marks: tuple[Mark, ...] = ()


class Cell(Record):
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


class Settings(Record):
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


class Study(Record):
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
