"""Which learning rate a way of training does best with."""

from collections.abc import Callable, Sequence
from pathlib import Path

from hiertk.study.accuracy.records import Tuned
from hiertk.study.records import read_record, write_record

_GRID = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
FIRST = (3e-4, 1e-3, 3e-3)  # of AdamW
FIRST_OF_SGD = (1e-2, 3e-2, 1e-1)

Measure = Callable[[Sequence[float]], Sequence[float]]


def tune(path: Path, measure: Measure, first: Sequence[float] = FIRST) -> Tuned:
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


def _beside_the_best(found: Tuned) -> list[float]:
    """Return the neighbours of the best so far that were not tried."""
    best = _GRID.index(found.rate)
    beside = _GRID[max(best - 1, 0) : best + 2]
    return [one for one in beside if f"{one:g}" not in found.tried]


def _best(tried: dict[str, float]) -> Tuned:
    return Tuned(rate=float(max(tried, key=lambda rate: tried[rate])), tried=tried)
