"""Figures of the study, out of its cells: means over seeds, and what was to be reached."""

from collections.abc import Callable, Sequence
from typing import Literal

from hiertk.study.new_classes.measures import forgetting, mean_of
from hiertk.study.new_classes.methods import JOINT, OURS, SLDA
from hiertk.study.new_classes.records import Cell, Mark, Study
from hiertk.study.spread import Spread
from hiertk.study.verdicts import Verdict

Exit = Literal["early", "final"]
EXITS: tuple[Exit, ...] = ("early", "final")
_BELOW_JOINT: dict[Exit, float] = {"final": 3.0, "early": 5.0}  # points
_MANY = 50  # labelled examples with which a new class is to be known
_LONG_S = 30.0
_KNOWN = 0.5


def cells_of(study: Study, method: str, split: int, backend: str = "torch") -> list[Cell]:
    """Return a method's cells at a separation point, one for each seed."""
    return [
        cell
        for cell in study.cells
        if (cell.key.method, cell.key.split, cell.key.backend) == (method, split, backend)
    ]


def splits_of(study: Study) -> list[int]:
    """Return the separation points, in order."""
    return sorted({cell.key.split for cell in study.cells})


def spread(cells: Sequence[Cell], figure: Callable[[Cell, Exit], float], of: Exit) -> Spread:
    """Return an exit's figure in each seed's cell."""
    return Spread(tuple(figure(cell, of) for cell in cells))


def shares_at_end(cell: Cell, of: Exit) -> tuple[float, ...]:
    """Return an exit's share for each class at the end."""
    return cell.last.shares.early if of == "early" else cell.last.shares.final


def all_classes(cell: Cell, of: Exit) -> float:
    """Return the mean over all classes at the end."""
    shares = shares_at_end(cell, of)
    return mean_of(shares, range(len(shares)))


def old_classes(cell: Cell, of: Exit) -> float:
    """Return the mean over the classes of the base at the end."""
    return mean_of(shares_at_end(cell, of), range(cell.base_classes))


def new_classes(cell: Cell, of: Exit) -> float:
    """Return the mean over the classes that followed, at the end."""
    shares = shares_at_end(cell, of)
    return mean_of(shares, range(cell.base_classes, len(shares)))


def forgotten(cell: Cell, of: Exit) -> float:
    """Return by how much the base's classes fell from their best."""
    width = len(cell.last.classes)
    table = [
        (*shares, *([float("nan")] * (width - len(shares))))
        for phase in cell.phases
        for shares in [phase.shares.early if of == "early" else phase.shares.final]
    ]
    return forgetting(table, range(cell.base_classes))


def means_by_phase(cell: Cell, of: Exit) -> list[float]:
    """Return the mean over all classes learned so far, phase by phase."""
    found = []
    for phase in cell.phases:
        shares = phase.shares.early if of == "early" else phase.shares.final
        found.append(mean_of(shares, range(len(shares))))
    return found


def marks_at(cells: Sequence[Cell], examples: int) -> list[Mark]:
    """Return what was measured after so many examples of each new class of each seed."""
    return [
        mark
        for cell in cells
        for phase in cell.phases
        for mark in phase.marks
        if mark.examples == examples
    ]


def known_with(marks: Sequence[Mark]) -> Mark | None:
    """Return the first mark from which on the early exit knows most images of the new class."""
    known = None
    for mark in reversed(marks):
        if mark.early_new <= _KNOWN:
            break
        known = mark
    return known


def verdicts(study: Study, split: int) -> list[Verdict]:
    """Compare a separation point's figures with what was to be reached, each a mean over seeds."""
    ours, joint, lda = (cells_of(study, name, split) for name in (OURS.name, JOINT.name, SLDA))
    if not (ours and joint and lda):
        return []
    found = []
    for of, points in _BELOW_JOINT.items():
        gap = 100 * (spread(joint, all_classes, of).mean - spread(ours, all_classes, of).mean)
        found.append(_at_most(f"{of} exit below joint training", gap, points))
    for of in EXITS:
        lost = 100 * spread(ours, forgotten, of).mean
        found.append(_at_most(f"forgetting of the {of} exit", lost, 3.0))
    for of in EXITS:
        lead = 100 * (spread(ours, all_classes, of).mean - spread(lda, all_classes, of).mean)
        found.append(
            Verdict(f"{of} exit above streaming LDA", "above 0", f"{lead:.1f} points", lead > 0)
        )
    return [*found, _known_soon(ours)]


def _at_most(what: str, value: float, most: float) -> Verdict:
    return Verdict(what, f"at most {most:.0f} points", f"{value:.1f} points", value <= most)


def _known_soon(cells: Sequence[Cell]) -> Verdict:
    first = [known_with(phase.marks) for cell in cells for phase in cell.phases if phase.marks]
    soon = [
        mark
        for mark in first
        if mark is not None and mark.examples <= _MANY and (mark.seconds or 0.0) <= _LONG_S
    ]
    return Verdict(
        f"new classes that the early exit knows with up to {_MANY} examples",
        f"all of {len(first)}, within {_LONG_S:.0f} s",
        f"{len(soon)} of {len(first)}",
        0 < len(first) == len(soon),
    )
