"""What the study of runtime was to show, and what it shows."""

from collections.abc import Sequence

from hiertk.study.runtime.records import Cell, RuntimeStudy
from hiertk.study.runtime.settings import EDGE_FIRST, JPEG, OURS, REPLAY, SPLIT_FP32
from hiertk.study.runtime.summary import (
    added_bytes,
    best,
    bytes_to,
    cells_at,
    links_of,
    memory_pairs,
    reduction,
)
from hiertk.study.verdicts import Verdict

SLOW = 1.1e6
_HIERARCHICAL = (OURS, EDGE_FIRST, REPLAY)
_LESS_TIME = {
    ("resnet18", 32): 0.88,
    ("resnet18", 64): 0.90,
    ("vgg16", 32): 0.70,
    ("vgg16", 64): 0.70,
}
_OF_SPLIT_BYTES = 0.1
_LESS_MEMORY = 0.58


def verdicts(study: RuntimeStudy) -> list[Verdict]:
    """Return the targets that this study can tell about."""
    return [*_time(study), *_bytes(study), *_memory(study)]


def _time(study: RuntimeStudy) -> list[Verdict]:
    target = _LESS_TIME.get((study.settings.model, study.settings.input_size))
    cell = best(study, SLOW, OURS)
    less = None if cell is None else reduction(study, cell)
    if target is None or less is None or cell is None or cell.key.cut is None:
        return []
    return [
        Verdict(
            what=f"time per epoch below raw each epoch, 1.1 Mbit/s, cut {cell.key.cut.name}",
            wanted=f"at least {100 * target:.0f} %",
            found=f"{100 * less:.1f} %",
            is_met=less >= target,
        )
    ]


def _bytes(study: RuntimeStudy) -> list[Verdict]:
    """Compare at the highest level of accuracy that each of two reaches, over the slowest link."""
    bits_per_s = min(links_of(study))
    ours = [cell for way in _HIERARCHICAL for cell in cells_at(study, bits_per_s, way)]
    return [
        *_bytes_against(study, ours, cells_at(study, bits_per_s, JPEG), "JPEG q90 once", 1.0),
        *_bytes_against(
            study, ours, cells_at(study, bits_per_s, SPLIT_FP32), "split learning", _OF_SPLIT_BYTES
        ),
    ]


def _bytes_against(
    study: RuntimeStudy, ours: Sequence[Cell], others: Sequence[Cell], name: str, target: float
) -> list[Verdict]:
    for level in sorted(study.settings.levels, reverse=True):
        mine, other = bytes_to(ours, level), bytes_to(others, level)
        if mine is not None and other is not None:
            share = mine / other
            what = f"bytes to {100 * level:g} % against {name}"
            goal, found = f"at most {target:g}", f"{share:.3f}"
            return [Verdict(what, goal, found, is_met=share <= target)]
    return []


def _memory(study: RuntimeStudy) -> list[Verdict]:
    """Compare over the slowest link, wherever both have the same separation point."""
    slowest = min(links_of(study))
    return [
        _memory_below(what, ours, 1 - of(ours) / of(other))
        for ours, other in memory_pairs(study)
        if ours.key.bits_per_s == slowest
        for what, of in (("process", lambda cell: cell.edge_peak_bytes), ("own", added_bytes))
    ]


def _memory_below(what: str, ours: Cell, less: float) -> Verdict:
    assert ours.key.cut is not None
    return Verdict(
        what=f"device's peak memory ({what}) below split learning's, cut {ours.key.cut.name}",
        wanted=f"at least {100 * _LESS_MEMORY:.0f} %",
        found=f"{100 * less:.0f} %",
        is_met=less >= _LESS_MEMORY,
    )
