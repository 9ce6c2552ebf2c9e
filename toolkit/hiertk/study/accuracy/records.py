"""What the study of accuracy finds."""

from collections.abc import Iterable

from pydantic import Field

from hiertk.study.accuracy.variants import PLAIN, name_in_files
from hiertk.study.records import Record
from hiertk.study.results import Results, Study, StudySettings

WHOLE = "whole"  # full-cloud training, in the place of a way


def nearest(splits: Iterable[int], split: int) -> int:
    """Return the nearest of some separation points, the lower of two."""
    return min(splits, key=lambda one: (abs(one - split), one))


class CellKey(Record):
    """Which cell: a variant of the network, where it is cut (None: full cloud), and a seed."""

    variant: str
    split: int | None
    seed: int

    @property
    def name(self) -> str:
        """Its name, for files and for people."""
        where = "full" if self.split is None else f"split{self.split}"
        return f"{where}-{name_in_files(self.variant)}-seed{self.seed}"


class Cell(Record):
    """One cell's findings: shares of right predictions on the test images, 0 to 1.

    early: of the early exit. final: of the final exit, by the way its cloud partition was trained;
    WHOLE in full-cloud training. sent_bytes: of one sample at 4 bits, compressed, as the
    trained edge partition gives it. seconds: all that the cell took.
    """

    key: CellKey
    early: float | None
    final: dict[str, float]
    sent_bytes: float | None
    steps: int
    seconds: float


class Tuned(Record):
    """A learning rate and what each of the grid gave on images held out from training.

    tried: shares of right predictions, means over so many seeds.
    """

    rate: float
    tried: dict[str, float]
    seeds: int = 1


class CutRates(Record):
    """The learning rates of both partitions, tuned at a separation point of a variant.

    sgd: of the cloud partition with SGD, where that was tried.
    """

    variant: str = PLAIN
    split: int
    edge: Tuned
    cloud: Tuned
    sgd: Tuned | None = None


class Rates(Record):
    """The learning rates, tuned for each way of training alike.

    full: of full-cloud training. full_of: of variants whose full-cloud training has its own.
    """

    full: Tuned
    full_of: dict[str, Tuned] = Field(default_factory=dict)
    cuts: tuple[CutRates, ...] = Field(min_length=1)

    def whole(self, variant: str) -> Tuned:
        """Return that of a variant's full-cloud training."""
        return self.full_of.get(variant, self.full)

    def at(self, variant: str, split: int) -> CutRates:
        """Return those of the nearest separation point with rates of its own.

        A variant that was not tuned has the plain network's.
        """
        tuned = {one.split: one for one in self.cuts if one.variant == variant}
        cuts = tuned or {one.split: one for one in self.cuts if one.variant == PLAIN}
        return cuts[nearest(cuts, split)]

    def name(self, key: CellKey) -> str:
        """Return the name of those that serve a cell, for files."""
        if key.split is None:
            return f"full{self.whole(key.variant).rate:g}"
        cut = self.at(key.variant, key.split)
        return f"edge{cut.edge.rate:g}-cloud{cut.cloud.rate:g}"


class Point(Record):
    """What a separation point costs a device. shape: of the features, (C, H, W).

    memory_bytes: what a training step of one batch keeps beside parameters.
    """

    split: int
    after: str
    shape: tuple[int, int, int]
    edge_parameters: int
    cloud_parameters: int
    memory_bytes: int


class Settings(StudySettings):
    """What was run, as it stands in the results.

    digest: of the images, SHA-256; None in results from before it was kept.
    """

    passes: int
    digest: str | None = None


class AccuracyStudy(Study):
    """All findings about one network, on one data set at one input size."""

    settings: Settings
    device: str
    rates: Rates
    points: tuple[Point, ...]
    cells: tuple[Cell, ...]

    @property
    def has_picture(self) -> bool:
        """Whether there are separation points to compare."""
        return len(self.points) > 1

    @property
    def seconds(self) -> float:
        """What all cells took, added up."""
        return sum(cell.seconds for cell in self.cells)


AccuracyResults = Results[AccuracyStudy]
