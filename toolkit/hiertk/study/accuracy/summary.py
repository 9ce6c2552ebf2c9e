"""Figures of the study of accuracy, out of its cells: one value for each seed."""

from hiertk.study.accuracy.records import AccuracyStudy, Cell
from hiertk.study.accuracy.settings import PLAIN, SENT, VARIANTS
from hiertk.study.spread import Spread

WHOLE = "whole"
ALLOWED = 0.005  # share of images by which the final exit may be below full-cloud training


def cells_at(study: AccuracyStudy, split: int | None, variant: str = PLAIN) -> dict[int, Cell]:
    """Return the cells of a separation point (None: full cloud), by their seeds."""
    return {
        cell.key.seed: cell
        for cell in study.cells
        if (cell.key.split, cell.key.variant) == (split, variant)
    }


def full(study: AccuracyStudy, variant: str = PLAIN) -> Spread:
    """Return what full-cloud training reaches; a bottleneck's is that of the plain network."""
    reference = PLAIN if VARIANTS[variant].narrowed else variant
    cells = cells_at(study, None, reference).values()
    return Spread(tuple(cell.final[WHOLE] for cell in cells))


def early(study: AccuracyStudy, split: int, variant: str = PLAIN) -> Spread:
    """Return what the early exit reaches."""
    cells = cells_at(study, split, variant).values()
    return Spread(tuple(cell.early for cell in cells if cell.early is not None))


def final(
    study: AccuracyStudy, split: int, variant: str = PLAIN, way: str = SENT.name
) -> Spread | None:
    """Return what the final exit reaches; None where this way was not run."""
    cells = cells_at(study, split, variant).values()
    shares = [cell.final[way] for cell in cells if way in cell.final]
    return Spread(tuple(shares)) if shares else None


def gain(study: AccuracyStudy, split: int, way: str) -> Spread | None:
    """Return by how much the final exit is above the early exit, which is what the cloud is for."""
    cells = cells_at(study, split).values()
    gains = [
        cell.final[way] - cell.early
        for cell in cells
        if way in cell.final and cell.early is not None
    ]
    return Spread(tuple(gains)) if gains else None


def ways(study: AccuracyStudy) -> list[str]:
    """Return the ways in which the plain network's cloud partitions were trained."""
    found = dict.fromkeys(
        way
        for cell in study.cells
        if cell.key.variant == PLAIN and cell.key.split is not None
        for way in cell.final
    )
    return list(found)


def variants(study: AccuracyStudy) -> list[str]:
    """Return the variants that were run."""
    return list(dict.fromkeys(cell.key.variant for cell in study.cells))


def near_full(study: AccuracyStudy, way: str) -> list[int]:
    """Return the separation points whose final exit is near enough to full-cloud training."""
    found = []
    for point in study.points:
        share = final(study, point.split, way=way)
        if share is not None and full(study).mean - share.mean <= ALLOWED:
            found.append(point.split)
    return found
