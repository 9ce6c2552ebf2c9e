"""Which learning rate a way of training does best with."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

from hiertk.study.accuracy.data import Data
from hiertk.study.accuracy.records import CutRates, Rates, Tuned
from hiertk.study.accuracy.settings import PLAIN, SENT, SGD, AccuracySettings, CloudWay
from hiertk.study.accuracy.trainer import StudyTrainer
from hiertk.study.records import put_back_record, read_record, write_record

_GRID = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
_FIRST = (3e-4, 1e-3, 3e-3)  # of AdamW
_FIRST_OF_SGD = (1e-2, 3e-2, 1e-1)

Measure = Callable[[Sequence[float]], Sequence[float]]


class Tuner:
    """Tunes the rates of one study, on images held out from training; they stay in its folder."""

    def __init__(self, settings: AccuracySettings, data: Data, folder: Path) -> None:
        self._settings = settings
        self._data = data
        self._folder = folder
        self._seeds = range(settings.tune_seeds)

    def full(self) -> Tuned:
        """Return the rate with which full-cloud training does best."""
        return self._tuned("full", lambda rates: [self._full_share(one) for one in rates])

    def cut(self, split: int, *, with_sgd: bool) -> CutRates:
        """Return the rates with which the early exit, and then the final exit behind it do best."""

        def finals(way: CloudWay) -> Measure:
            return lambda rates: self._shares(split, edge.rate, [(way, one) for one in rates])[1:]

        edge = self._tuned(
            f"edge-split{split}", lambda rates: [self._shares(split, one)[0] for one in rates]
        )
        return CutRates(
            split=split,
            edge=edge,
            cloud=self._tuned(f"cloud-split{split}", finals(SENT)),
            sgd=self._tuned(f"sgd-split{split}", finals(SGD), _FIRST_OF_SGD) if with_sgd else None,
        )

    def _tuned(self, name: str, measure: Measure, first: Sequence[float] = _FIRST) -> Tuned:
        return tune(_file(self._folder, name, len(self._seeds)), measure, first)

    def _new_trainer(self) -> StudyTrainer:
        """Return one that is not kept: its copies of the images are large."""
        return StudyTrainer(self._settings, self._data.for_tuning())

    def _full_share(self, rate: float) -> float:
        trainer = self._new_trainer()
        return fmean(trainer.full(rate, seed) for seed in self._seeds)

    def _shares(
        self, split: int, edge: float, clouds: Sequence[tuple[CloudWay, float]] = ()
    ) -> list[float]:
        """Return the shares of the early exit, and of each cloud's final exit."""
        trainer = self._new_trainer()
        runs = [trainer.cut(PLAIN, split, edge, clouds, seed)[0] for seed in self._seeds]
        shares = [(one.early, *one.finals) for one in runs]
        return [fmean(of_exit) for of_exit in zip(*shares, strict=True)]


def tune(path: Path, measure: Measure, first: Sequence[float] = _FIRST) -> Tuned:
    """Return the rate of the grid beside which no other is better.

    measure: the shares of right predictions with such rates. first: which are tried at first, of
    the grid. What was tried is kept in the file.
    Raises ConfigError for a file that is no record of this, and StorageError.
    """
    found = read_record(path, Tuned)
    while rates := list(first) if found is None else _beside_the_best(found):
        tried = {f"{one:g}": share for one, share in zip(rates, measure(rates), strict=True)}
        found = _best({**found.tried, **tried} if found else tried)
        write_record(path, found)
    assert found is not None
    return found


def put_back_rates(rates: Rates, folder: Path) -> None:
    """Put tuned rates where a Tuner looks for them; what is there already stays."""
    found = {"full": rates.full}
    for cut in rates.cuts:
        found |= {f"edge-split{cut.split}": cut.edge, f"cloud-split{cut.split}": cut.cloud}
        found |= {f"sgd-split{cut.split}": cut.sgd} if cut.sgd else {}
    for name, tuned in found.items():
        put_back_record(_file(folder, name, rates.seeds), tuned)


def _file(folder: Path, name: str, seeds: int) -> Path:
    return folder / f"rate-{name}-seeds{seeds}.json"


def _beside_the_best(found: Tuned) -> list[float]:
    """Return the neighbours of the best so far that were not tried."""
    best = _GRID.index(found.rate)
    beside = _GRID[max(best - 1, 0) : best + 2]
    return [one for one in beside if f"{one:g}" not in found.tried]


def _best(tried: dict[str, float]) -> Tuned:
    return Tuned(rate=float(max(tried, key=lambda rate: tried[rate])), tried=tried)
