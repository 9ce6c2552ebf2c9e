"""What the study of runtime finds."""

from hiertk.study.records import Record
from hiertk.study.results import Results, Study, StudySettings

USUAL_BACKEND = "onnxruntime"  # no study's name tells it


class Cut(Record):
    """Where a network is cut. bits: of the features. bottleneck: channels; None: all of them."""

    split: int
    bits: int
    bottleneck: int | None = None

    @property
    def name(self) -> str:
        """Its name, as the command line has it."""
        narrowed = "" if self.bottleneck is None else f":{self.bottleneck}"
        return f"{self.split}:{self.bits}{narrowed}"


class CellKey(Record):
    """Which cell: the uplink's rate, the way of training, and where the network is cut, if it is.

    bits: of split learning's floats, too.
    """

    bits_per_s: float
    way: str
    cut: Cut | None

    @property
    def name(self) -> str:
        """Its name, for files and for people."""
        cut = "" if self.cut is None else f"-{self.cut.name.replace(':', '-')}"
        return f"{self.bits_per_s / 1e6:g}mbit-{self.way}{cut}"


class Mark(Record):
    """How good it was at a moment. at_s: since the device's first batch. Shares, 0 to 1.

    early: None where there is no early exit; final: None before the cloud has learned anything.
    """

    at_s: float
    up_bytes: float
    down_bytes: float
    early: float | None
    final: float | None


class Cell(Record):
    """One cell's findings.

    total_s: from the device's first batch to the last step of either side. steady_s: of an epoch
    once all parts are busy; None where they are not busy all along. epoch_ends_s: when the cloud
    had done each epoch's steps; none where it takes other steps in between. Bytes are of all
    epochs, headers included. edge_busy_s, cloud_busy_s: processor time of all epochs.
    edge_peak_bytes: of the device's whole process; edge_libraries_bytes: what it had taken before
    it opened its network. link: what kind.
    """

    key: CellKey
    total_s: float
    steady_s: float | None
    epoch_ends_s: tuple[float, ...]
    up_bytes: int
    down_bytes: int
    edge_busy_s: float
    cloud_busy_s: float
    edge_peak_bytes: int
    edge_libraries_bytes: int
    link: str
    marks: tuple[Mark, ...] = ()


class Settings(StudySettings):
    """What was run, as it stands in the results."""

    epochs: int
    rate: float
    backend: str
    levels: tuple[float, ...]


class RuntimeStudy(Study):
    """All findings about one network at one input size."""

    settings: Settings
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """What it is a study of; one of each backend has its place in the results."""
        backend = self.settings.backend
        return super().name + ("" if backend == USUAL_BACKEND else f", {backend} on the device")


RuntimeResults = Results[RuntimeStudy]
