"""The run as one picture: both exits on the new class and on the old ones, since it was named."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from hiertk_protocol.files import atomic_file

from hiertk.demo.new_class.record import NewClassResults, Point

_EARLY, _FINAL = "#c2571a", "#1f5fa8"
_POINTS_PER_INCH = 130


def draw(results: NewClassResults, path: Path) -> None:
    """Write the picture as PNG. Raises StorageError."""
    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    new, old = figure.subplots(1, 2, sharey=True)
    points = (results.before, *results.points)
    _exits(new, points, "new")
    _exits(old, points, "old")
    new.set(title=f"{results.new_class}, the new class", ylabel="accuracy", ylim=(-0.02, 1.02))
    old.set(title=f"the {len(results.old_classes)} classes known before")
    _examples(new, points)
    new.legend(frameon=False, loc="lower right")
    figure.suptitle(
        f"A new class, named at 0 s and taught by {points[-1].examples} labelled images; "
        f"{results.test_images} test images each",
        fontsize=11,
    )
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_POINTS_PER_INCH)


def _exits(axes: Any, points: tuple[Point, ...], which: str) -> None:
    times = [point.seconds for point in points]
    shares = [getattr(point, which) for point in points]
    axes.plot(times, [share.early for share in shares], color=_EARLY, marker="o", ms=4,
              label="early exit (device)")  # fmt: skip
    finals = [(time, share.final) for time, share in zip(times, shares, strict=True)
              if share.final is not None]  # fmt: skip
    axes.plot(*zip(*finals, strict=True), color=_FINAL, marker="s", ms=4,
              label="final exit (cloud)")  # fmt: skip
    axes.set(xlabel="seconds since it was named")
    axes.grid(alpha=0.25)


def _examples(axes: Any, points: tuple[Point, ...]) -> None:
    """Shade the time in which it was taught."""
    taught = max(point.examples for point in points)
    end = min(point.seconds for point in points if point.examples == taught)
    axes.axvspan(0, end, color="#8a8a8a", alpha=0.12, lw=0)
    axes.annotate(f"{taught} images shown", (end / 2, 0.97), ha="center", va="top", fontsize=8)
