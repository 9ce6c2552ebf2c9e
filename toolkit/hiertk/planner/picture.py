"""A plan as a picture: the parts of a batch's time at every separation point."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.files import atomic_file

from hiertk.planner.amounts import ms_text
from hiertk.planner.plan import Plan, PlannedPoint
from hiertk.planner.table import better_bits
from hiertk.planner.words import link_text

_FORMATS = (".png", ".svg")
_WIDTH = 0.26
_ARROW_UP = "\u2191"
_SHOWN_TIMES_FULL_CLOUD = 2.2  # what takes longer is cut off and labelled
_PREPARE, _FORWARD, _UPDATE, _HANDOVER = "#e8c9a6", "#e09f5a", "#c2571a", "#7d3a12"
_LINK, _CLOUD, _FULL, _TIME = "#8a8a8a", "#1f5fa8", "#b01c2e", "#111111"


def check_drawable(path: Path) -> None:
    """Refuse what cannot be drawn, before anything is planned. Raises ConfigError."""
    if path.suffix.lower() not in _FORMATS:
        raise ConfigError(f"--plot {path}: pictures are .png or .svg: name the file so")
    if find_spec("matplotlib") is None:
        raise ConfigError("--plot needs matplotlib: pip install 'hiertk[demo]'")


def draw(plan: Plan, path: Path) -> None:
    """Write the picture as PNG or SVG, by the file's name. Raises ConfigError, StorageError."""
    check_drawable(path)
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    points = better_bits(plan)
    figure = Figure(figsize=(max(8.0, 1.5 + 0.85 * len(points)), 5.4), layout="constrained")
    axes = figure.add_subplot()
    for place, point in enumerate(points):
        _bars(axes, place, point, is_chosen=point.prediction is plan.chosen)
    top = _height(plan, points)
    _full_cloud(axes, plan)
    _times(axes, points, top)
    _label(axes, plan, points, top)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8.5)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=130)


def _bars(axes: Any, place: int, point: PlannedPoint, *, is_chosen: bool) -> None:
    """Draw edge, link and cloud of one separation point side by side, and the pipeline's time."""
    times = point.prediction.hierarchical
    edge = times.edge
    if is_chosen:
        axes.axvspan(place - 0.48, place + 0.48, color="#f3e9c6", zorder=0)
    bottom = 0.0
    for name, color, seconds in (
        ("edge: read and preprocess", _PREPARE, edge.prepare_s),
        ("edge: forward", _FORWARD, edge.forward_s),
        ("edge: backward and optimizer", _UPDATE, edge.update_s),
        ("edge: handover", _HANDOVER, edge.handover_s),
    ):
        label = name if place == 0 else None
        axes.bar(
            place - _WIDTH, 1e3 * seconds, _WIDTH, 1e3 * bottom, color=color, label=label, zorder=2
        )
        bottom += seconds
    for name, color, at, seconds in (
        ("link", _LINK, place, times.link.busy_s),
        ("cloud", _CLOUD, place + _WIDTH, times.cloud.busy_s),
    ):
        label = name if place == 0 else None
        axes.bar(at, 1e3 * seconds, _WIDTH, color=color, label=label, zorder=2)
    axes.hlines(
        1e3 * times.pipeline_s,
        place - 0.44,
        place + 0.44,
        color=_TIME,
        lw=2,
        label="hierarchical, in a pipeline" if place == 0 else None,
    )


def _height(plan: Plan, points: list[PlannedPoint]) -> float:
    """Return the height of the picture, milliseconds: full cloud and the choice are within."""
    longest = max(point.prediction.seconds for point in points)
    wanted = max(plan.full_cloud.pipeline_s, plan.chosen.seconds) * _SHOWN_TIMES_FULL_CLOUD
    return 1e3 * min(1.15 * max(longest, plan.full_cloud.pipeline_s), wanted)


def _full_cloud(axes: Any, plan: Plan) -> None:
    axes.axhline(
        1e3 * plan.full_cloud.pipeline_s,
        color=_FULL,
        ls="--",
        lw=1.6,
        label="full cloud, in a pipeline",
        zorder=3,
    )


def _times(axes: Any, points: list[PlannedPoint], top: float) -> None:
    """Write each pipeline's time, at the upper edge where it is too long for the picture."""
    for place, point in enumerate(points):
        height = 1e3 * point.prediction.seconds
        is_cut = height > 0.97 * top
        axes.annotate(
            f"{ms_text(point.prediction.seconds)}{_ARROW_UP if height > top else ''}",
            (place, min(height, 0.985 * top)),
            xytext=(0, 0 if is_cut else 3),
            textcoords="offset points",
            ha="center",
            va="top" if is_cut else "bottom",
            fontsize=8,
            bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"} if is_cut else None,
            zorder=5,
        )


def _label(axes: Any, plan: Plan, points: list[PlannedPoint], top: float) -> None:
    settings, chosen = plan.settings, plan.chosen
    labels = [
        f"{point.prediction.cut.split}\n{point.prediction.bits} bits"
        + ("\nover a limit" if point.why_not else "")
        for point in points
    ]
    axes.set_xticks(range(len(points)), labels, fontsize=9)
    axes.set(
        xlabel="separation point", ylabel=f"ms per batch of {settings.batch_size}", ylim=(0, top)
    )
    axes.set_xlim(-0.6, len(points) - 0.4)
    percent = chosen.reduction_percent
    axes.set_title(
        f"{settings.model}, {settings.input_size}x{settings.input_size}: {link_text(plan)}\n"
        f"choice (shaded): separation point {chosen.cut.split} at {chosen.bits} bits, "
        f"{abs(percent):.1f} % {'less' if percent >= 0 else 'more'} time than full cloud",
        fontsize=10.5,
    )
    axes.grid(axis="y", alpha=0.25, zorder=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
