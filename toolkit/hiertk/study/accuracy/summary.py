"""Figures of the study of accuracy, out of its cells: one value for each seed."""

from statistics import fmean

from hiertk.study.accuracy.records import WHOLE, AccuracyStudy, Cell
from hiertk.study.accuracy.settings import SENT
from hiertk.study.accuracy.variants import PLAIN, find_variant
from hiertk.study.spread import Spread
from hiertk.study.verdicts import Verdict

ALLOWED = 0.5  # points by which the final exit may be below full-cloud training


def cells_at(study: AccuracyStudy, split: int | None, variant: str = PLAIN) -> dict[int, Cell]:
    """Return the cells of a separation point (None: full cloud), by their seeds."""
    return {
        cell.key.seed: cell
        for cell in study.cells
        if (cell.key.split, cell.key.variant) == (split, variant)
    }


def full(study: AccuracyStudy, variant: str = PLAIN) -> Spread:
    """Return what full-cloud training reaches; a bottleneck's is that of the plain network."""
    reference = variant if find_variant(variant).has_whole else PLAIN
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


def sent(study: AccuracyStudy, split: int, variant: str = PLAIN) -> float:
    """Return the bytes of one sample on the wire, at 4 bits after compression."""
    cells = cells_at(study, split, variant).values()
    return fmean(cell.sent_bytes for cell in cells if cell.sent_bytes is not None)


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


def verdicts(study: AccuracyStudy) -> list[Verdict]:
    """Judge every cut as it is deployed, with features of 4 bits; each a mean over seeds."""
    return [
        one
        for variant in variants(study)
        for point in study.points
        for one in verdicts_at(study, point.split, variant)
    ]


def verdicts_at(study: AccuracyStudy, split: int, variant: str) -> tuple[Verdict, Verdict]:
    """Judge one cut's final exit against full-cloud training, and against its early exit."""
    share = final(study, split, variant)
    assert share is not None
    where = f"separation point {split}" + ("" if variant == PLAIN else f", {variant}")
    below = 100 * (full(study, variant).mean - share.mean)
    above = 100 * (share.mean - early(study, split, variant).mean)
    return (
        Verdict(
            what=f"final exit below full cloud, {where}",
            wanted=f"at most {ALLOWED:g} points",
            found=f"{below:.2f} points",
            is_met=below <= ALLOWED,
        ),
        Verdict(
            what=f"final exit above early exit, {where}",
            wanted="above 0",
            found=f"{above:.2f} points",
            is_met=above > 0,
        ),
    )
