"""One cell of the study of accuracy, from fresh weights to the test images."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from hiertk.study.accuracy.data import Data
from hiertk.study.accuracy.records import WHOLE, Cell, CellKey, Rates
from hiertk.study.accuracy.settings import AccuracySettings, CloudWay
from hiertk.study.accuracy.trainer import StudyTrainer
from hiertk.study.accuracy.variants import find_variant
from hiertk.study.records import put_back_record, read_record, write_record


class CellRunner:
    """Runs the cells of one study; finished ones stay in its folder."""

    def __init__(self, settings: AccuracySettings, data: Data, folder: Path) -> None:
        self._settings = settings
        self._trainer = StudyTrainer(settings, data)
        self._folder = folder

    def run(self, key: CellKey, rates: Rates) -> Cell:
        """Return a cell, from its file; what ways this lacks are run and added to it."""
        path = _file(self._folder, rates, key)
        clouds = {} if key.split is None else self._clouds(key.variant, key.split, rates)
        wanted = list(clouds) or [WHOLE]
        found = read_record(path, Cell)
        if lacking := [way for way in wanted if found is None or way not in found.final]:
            started = time.perf_counter()
            cell = (
                self._full(key, rates)
                if key.split is None
                else self._cut(key, key.split, rates, {way: clouds[way] for way in lacking})
            )
            found = _with(found, cell, time.perf_counter() - started)
            write_record(path, found)
        assert found is not None
        return found.model_copy(update={"final": {way: found.final[way] for way in wanted}})

    def _clouds(self, variant: str, split: int, rates: Rates) -> dict[str, tuple[CloudWay, float]]:
        """Return how the clouds behind a cut are trained and at what rate, by names in a cell."""
        tuned, found = rates.at(variant, split), {}
        for way in self._settings.clouds(variant, split):
            name, rate = way.name, tuned.cloud.rate
            if way.is_sgd:
                assert tuned.sgd is not None
                rate = tuned.sgd.rate
                name = f"{name} at {rate:g}"
            found[name] = (way, rate)
        return found

    def _full(self, key: CellKey, rates: Rates) -> Cell:
        normalization = find_variant(key.variant).normalization
        share = self._trainer.full(rates.whole(key.variant).rate, key.seed, normalization)
        return Cell(
            key=key,
            early=None,
            final={WHOLE: share},
            sent_bytes=None,
            steps=self._trainer.steps,
            seconds=0.0,
        )

    def _cut(
        self,
        key: CellKey,
        split: int,
        rates: Rates,
        clouds: Mapping[str, tuple[CloudWay, float]],
    ) -> Cell:
        edge = rates.at(key.variant, split).edge.rate
        shares, sent_bytes = self._trainer.cut(
            key.variant, split, edge, list(clouds.values()), key.seed
        )
        return Cell(
            key=key,
            early=shares.early,
            final=dict(zip(clouds, shares.finals, strict=True)),
            sent_bytes=sent_bytes,
            steps=self._trainer.steps,
            seconds=0.0,
        )


def put_back_cells(cells: Iterable[Cell], rates: Rates, folder: Path) -> None:
    """Put finished cells where a CellRunner looks for them; what is there already stays."""
    for cell in cells:
        put_back_record(_file(folder, rates, cell.key), cell)


def _file(folder: Path, rates: Rates, key: CellKey) -> Path:
    return folder / rates.name(key) / f"{key.name}.json"


def _with(found: Cell | None, cell: Cell, seconds: float) -> Cell:
    """Return a cell with what it lacked. seconds: that this took."""
    if found is None:
        return cell.model_copy(update={"seconds": seconds})
    final = {**found.final, **cell.final}
    return found.model_copy(update={"final": final, "seconds": found.seconds + seconds})
