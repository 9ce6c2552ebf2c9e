"""Figures of the study of runtime, out of its cells."""

from collections.abc import Sequence

from hiertk.study.runtime.records import Cell, Mark, RuntimeStudy
from hiertk.study.runtime.settings import OURS, RAW, SPLIT_FP32

HEADS = (
    "way",
    "cut",
    "epoch s",
    "below raw %",
    "up MB",
    "down MB",
    "device s",
    "cloud s",
    "memory MB",
    "own MB",
)
REACHED_HEADS = ("way", "cut", "level", "early exit s", "final exit s", "up MB", "down MB")


def links_of(study: RuntimeStudy) -> list[float]:
    """Return the uplinks, bits per second, as they were run."""
    return list(dict.fromkeys(cell.key.bits_per_s for cell in study.cells))


def cells_at(study: RuntimeStudy, bits_per_s: float, way: str | None = None) -> list[Cell]:
    """Return the cells of a link, and of a way where one is named."""
    return [
        cell
        for cell in study.cells
        if cell.key.bits_per_s == bits_per_s and way in {None, cell.key.way}
    ]


def epoch_s(study: RuntimeStudy, cell: Cell) -> float:
    """Return the seconds of an epoch: in a steady state, or the whole run's mean without one."""
    whole = cell.total_s / study.settings.epochs
    return whole if cell.steady_s is None else cell.steady_s


def best(study: RuntimeStudy, bits_per_s: float, way: str) -> Cell | None:
    """Return the cell of a way with the fastest cut; None if it was not run."""
    cells = cells_at(study, bits_per_s, way)
    return min(cells, key=lambda cell: epoch_s(study, cell), default=None)


def reduction(study: RuntimeStudy, cell: Cell) -> float | None:
    """Return by what share its epoch is shorter than that of raw images; None without these."""
    raw = best(study, cell.key.bits_per_s, RAW)
    return None if raw is None else 1 - epoch_s(study, cell) / epoch_s(study, raw)


def reached(cell: Cell, level: float, exit_: str = "final") -> Mark | None:
    """Return when an exit first was so accurate; None if it never was."""
    shares = ((mark, getattr(mark, exit_)) for mark in cell.marks)
    return next((mark for mark, share in shares if share is not None and share >= level), None)


def bytes_to(cells: Sequence[Cell], level: float) -> float | None:
    """Return the least bytes, both ways, with which one of the cells gets there."""
    marks = [mark for cell in cells if (mark := reached(cell, level)) is not None]
    return min((mark.up_bytes + mark.down_bytes for mark in marks), default=None)


def added_bytes(cell: Cell) -> int:
    """Return the device's peak memory beside that of its libraries."""
    return cell.edge_peak_bytes - cell.edge_libraries_bytes


def memory_pairs(study: RuntimeStudy) -> list[tuple[Cell, Cell]]:
    """Return cells of ours and of split learning, with the same link and separation point."""
    return [
        (ours, other)
        for ours in study.cells
        for other in study.cells
        if (ours.key.way, other.key.way) == (OURS, SPLIT_FP32)
        and ours.key.bits_per_s == other.key.bits_per_s
        and ours.key.cut is not None
        and other.key.cut is not None
        and ours.key.cut.split == other.key.cut.split
    ]


def row(study: RuntimeStudy, cell: Cell) -> list[str]:
    """Return a cell as a line of a table, under HEADS; bytes and busy times of an epoch."""
    epochs, less = study.settings.epochs, reduction(study, cell)
    return [
        *_names(cell),
        f"{epoch_s(study, cell):.2f}",
        "-" if less is None or cell.key.way == RAW else f"{100 * less:.0f}",
        f"{cell.up_bytes / epochs / 1e6:.2f}",
        f"{cell.down_bytes / epochs / 1e6:.2f}",
        f"{cell.edge_busy_s / epochs:.2f}",
        f"{cell.cloud_busy_s / epochs:.2f}",
        f"{cell.edge_peak_bytes / 1e6:.0f}",
        f"{added_bytes(cell) / 1e6:.0f}",
    ]


def reached_rows(study: RuntimeStudy, cell: Cell) -> list[list[str]]:
    """Return when a cell reached each level of accuracy that it reached, under REACHED_HEADS."""
    rows = []
    for level in study.settings.levels:
        early, final = (reached(cell, level, exit_) for exit_ in ("early", "final"))
        if early is None and final is None:
            continue
        rows.append(
            [
                *_names(cell),
                f"{100 * level:g} %",
                "-" if early is None else f"{early.at_s:.1f}",
                "-" if final is None else f"{final.at_s:.1f}",
                "-" if final is None else f"{final.up_bytes / 1e6:.2f}",
                "-" if final is None else f"{final.down_bytes / 1e6:.2f}",
            ]
        )
    return rows


def _names(cell: Cell) -> list[str]:
    cut = cell.key.cut
    return [cell.key.way, "-" if cut is None else cut.name]
