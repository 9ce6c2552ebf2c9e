"""Which learning rate a way of training does best with."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

from hiertk.study.accuracy.data import Data
from hiertk.study.accuracy.records import CutRates, Rates, Tuned
from hiertk.study.accuracy.settings import SENT, SGD, AccuracySettings, CloudWay
from hiertk.study.accuracy.trainer import StudyTrainer
from hiertk.study.accuracy.variants import PLAIN, find_variant, name_in_files
from hiertk.study.records import put_back_record, read_record, write_record

_GRID = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
_FIRST = (3e-4, 1e-3, 3e-3)  # of AdamW
_FIRST_OF_SGD = (1e-2, 3e-2, 1e-1)

# The shares of right predictions with such rates, each the mean of runs with such seeds
Measure = Callable[[Sequence[float], Sequence[int]], Sequence[float]]


class Tuner:
    """Tunes the rates of one study, on images held out from training; they stay in its folder."""

    def __init__(self, settings: AccuracySettings, data: Data, folder: Path) -> None:
        self._settings = settings
        self._data = data
        self._folder = folder

    def full(self, variant: str) -> Tuned:
        """Return the rate with which a variant's full-cloud training does best."""
        normalization = find_variant(variant).normalization

        def shares(rates: Sequence[float], seeds: Sequence[int]) -> list[float]:
            trainer = self._new_trainer()
            return [
                fmean(trainer.full(rate, seed, normalization) for seed in seeds) for rate in rates
            ]

        return self._tuned(_full_name(variant), shares)

    def cut(self, variant: str, split: int, *, with_sgd: bool) -> CutRates:
        """Return the rates with which the early exit, and then the final exit behind it do best."""

        def early(rates: Sequence[float], seeds: Sequence[int]) -> list[float]:
            return [self._shares(variant, split, rate, (), seeds)[0] for rate in rates]

        def finals(way: CloudWay) -> Measure:
            return lambda rates, seeds: self._shares(
                variant, split, edge.rate, [(way, rate) for rate in rates], seeds
            )[1:]

        def named(part: str) -> str:
            return _cut_name(part, variant, split)

        edge = self._tuned(named("edge"), early)
        return CutRates(
            variant=variant,
            split=split,
            edge=edge,
            cloud=self._tuned(named("cloud"), finals(SENT)),
            sgd=self._tuned(named("sgd"), finals(SGD), _FIRST_OF_SGD) if with_sgd else None,
        )

    def _tuned(self, name: str, measure: Measure, first: Sequence[float] = _FIRST) -> Tuned:
        return tune(_file(self._folder, name), measure, self._settings.tune_seeds, first)

    def _new_trainer(self) -> StudyTrainer:
        """Return one that is not kept: its copies of the images are large."""
        return StudyTrainer(self._settings, self._data.for_tuning())

    def _shares(
        self,
        variant: str,
        split: int,
        edge: float,
        clouds: Sequence[tuple[CloudWay, float]],
        seeds: Sequence[int],
    ) -> list[float]:
        """Return the mean shares of the early exit, and of each cloud's final exit."""
        trainer = self._new_trainer()
        runs = [trainer.cut(variant, split, edge, clouds, seed)[0] for seed in seeds]
        shares = [(one.early, *one.finals) for one in runs]
        return [fmean(of_exit) for of_exit in zip(*shares, strict=True)]


def tune(path: Path, measure: Measure, seeds: int, first: Sequence[float] = _FIRST) -> Tuned:
    """Return the rate of the grid beside which no other is better.

    One seed measures the rates; where a rate is worse than two on either side of it, which chance
    alone explains, all are measured by one seed more, and the means decide. seeds: how many there
    are at most. first: the rates of the grid that are tried at first. What was tried is kept in
    the file.
    Raises ConfigError for a file that is no record of this, and StorageError.
    """
    found = read_record(path, Tuned)
    if found is None:
        found = _best(_by_rate(first, measure(first, [0])), 1)
        write_record(path, found)
    while True:
        if rates := _beside_the_best(found):
            tried = _by_rate(rates, measure(rates, range(found.seeds)))
            found = _best({**found.tried, **tried}, found.seeds)
        elif found.seeds < seeds and _has_two_peaks(found):
            rates = sorted(map(float, found.tried))
            found = _with_one_seed_more(found, _by_rate(rates, measure(rates, [found.seeds])))
        else:
            return found
        write_record(path, found)


def put_back_rates(rates: Rates, folder: Path) -> None:
    """Put tuned rates where a Tuner looks for them; what is there already stays."""
    found = {_full_name(PLAIN): rates.full}
    found |= {_full_name(variant): tuned for variant, tuned in rates.full_of.items()}
    for cut in rates.cuts:
        parts = {"edge": cut.edge, "cloud": cut.cloud, **({"sgd": cut.sgd} if cut.sgd else {})}
        found |= {_cut_name(part, cut.variant, cut.split): one for part, one in parts.items()}
    for name, tuned in found.items():
        put_back_record(_file(folder, name), tuned)


def _full_name(variant: str) -> str:
    return "full" + _of(variant)


def _cut_name(part: str, variant: str, split: int) -> str:
    """Return a name; a bottleneck changes nothing of what a device trains."""
    is_plain = part == "edge" and find_variant(variant).is_narrowed
    return f"{part}-split{split}" + _of(PLAIN if is_plain else variant)


def _of(variant: str) -> str:
    return "" if variant == PLAIN else "-" + name_in_files(variant)


def _file(folder: Path, name: str) -> Path:
    return folder / f"rate-{name}.json"


def _by_rate(rates: Sequence[float], shares: Sequence[float]) -> dict[str, float]:
    return {f"{one:g}": share for one, share in zip(rates, shares, strict=True)}


def _beside_the_best(found: Tuned) -> list[float]:
    """Return the neighbours of the best so far that were not tried."""
    best = _GRID.index(found.rate)
    beside = _GRID[max(best - 1, 0) : best + 2]
    return [one for one in beside if f"{one:g}" not in found.tried]


def _has_two_peaks(found: Tuned) -> bool:
    """Whether the shares fall and rise again, from the lowest rate to the highest."""
    shares = [found.tried[rate] for rate in sorted(found.tried, key=float)]
    best = shares.index(max(shares))
    up, down = shares[: best + 1], shares[best:]
    return up != sorted(up) or down != sorted(down, reverse=True)


def _with_one_seed_more(found: Tuned, shares: dict[str, float]) -> Tuned:
    """Return the means of what was found by so many seeds, and by one more."""
    seeds = found.seeds
    means = {one: (seeds * found.tried[one] + shares[one]) / (seeds + 1) for one in found.tried}
    return _best(means, seeds + 1)


def _best(tried: dict[str, float], seeds: int) -> Tuned:
    rate = float(max(tried, key=lambda one: tried[one]))
    return Tuned(rate=rate, tried=tried, seeds=seeds)
