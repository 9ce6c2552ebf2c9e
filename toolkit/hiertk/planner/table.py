"""A plan as a table: a line per separation point, at its better bits.

Two of them, so that each fits 80 columns: what is sent and held, and what it takes.
"""

from itertools import groupby

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from hiertk.planner.amounts import count_text, ms_text, size_text
from hiertk.planner.plan import Plan, PlannedPoint
from hiertk.planner.prediction import Prediction
from hiertk.planner.selection import fastest
from hiertk.planner.words import link_text, sources, summary

_LEGEND = "> the choice; * the part that sets the time; ! a limit forbids the point"


def print_plan(plan: Plan) -> None:
    """Print what is sent, what it takes, the profiles behind it and what follows."""
    console = Console(highlight=False)
    console.print(_sizes(plan), _times(plan), sep="\n")
    for line in [
        _LEGEND,
        *sources(plan),
        *(f"Warning: {warning}" for warning in plan.warnings),
        "",
        *summary(plan),
    ]:
        console.print(line, soft_wrap=True, markup=False)


def better_bits(plan: Plan) -> list[PlannedPoint]:
    """Return each separation point at the bits that the limits allow and that take less time."""
    rows = []
    for _, group in groupby(plan.points, key=lambda point: point.prediction.cut.split):
        points = list(group)
        allowed = [point for point in points if not point.why_not] or points
        best = fastest([point.prediction for point in allowed])
        rows += [point for point in allowed if point.prediction is best]
    return rows


def _sizes(plan: Plan) -> Table:
    settings = plan.settings
    table = _table(
        f"{settings.model}, {settings.stem} stem, {settings.input_size}x{settings.input_size}, "
        f"batch {settings.batch_size}",
        "bits", "B/sample", "of raw", "edge\nparams", "edge\nmemory",
        texts=("point", "after", "features"),
    )  # fmt: skip
    for point in better_bits(plan):
        one = point.prediction
        table.add_row(
            _place(plan, point),
            one.cut.module,
            "x".join(map(str, one.cut.feature_shape)),
            str(one.bits),
            f"{one.feature_bytes:,.0f}",
            f"{one.feature_bytes / plan.raw_bytes:.0%}",
            count_text(one.cut.edge_parameters),
            size_text(one.peak_memory_bytes),
            style=_style(plan, point),
        )
    return table


def _times(plan: Plan) -> Table:
    has_accuracies = any(point.accuracy is not None for point in plan.points)
    table = _table(
        f"ms per batch over {link_text(plan)}",
        "edge", "link", "cloud", "hierarchical", "full\ncloud", "split\nlearning", "reduction",
        *(("accuracy",) if has_accuracies else ()),
        texts=("point",),
    )  # fmt: skip
    for point in better_bits(plan):
        one = point.prediction
        accuracy = "" if point.accuracy is None else f"{point.accuracy:.1%}"
        table.add_row(
            _place(plan, point),
            _part(one, "edge", one.hierarchical.edge.busy_s),
            _part(one, "link", one.hierarchical.link.busy_s),
            _part(one, "cloud", one.hierarchical.cloud.busy_s),
            ms_text(one.seconds),
            ms_text(plan.full_cloud.pipeline_s),
            ms_text(one.split_learning.total_s),
            f"{one.reduction_percent:.1f} %",
            *((accuracy,) if has_accuracies else ()),
            style=_style(plan, point),
        )
    return table


def _table(title: str, *numbers: str, texts: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    for name in texts:
        table.add_column(name, no_wrap=True, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _place(plan: Plan, point: PlannedPoint) -> str:
    mark = ">" if point.prediction is plan.chosen else "!" if point.why_not else " "
    return f"{mark} {point.prediction.cut.split}"


def _style(plan: Plan, point: PlannedPoint) -> str | None:
    return "bold" if point.prediction is plan.chosen else None


def _part(prediction: Prediction, name: str, seconds: float) -> str:
    mark = "*" if prediction.hierarchical.slowest == name else " "
    return f"{ms_text(seconds)}{mark}"
