"""A plan as a table: one line per separation point, at its better bits."""

from itertools import groupby

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from hiertk.planner.amounts import count_text, ms_text, size_text
from hiertk.planner.plan import Plan, PlannedPoint
from hiertk.planner.prediction import Prediction
from hiertk.planner.selection import fastest
from hiertk.planner.words import link_text, sources, summary

_PIPE_WIDTH = 132  # where nobody says how wide the screen is


def print_plan(plan: Plan) -> None:
    """Print the table, the profiles behind it and what follows."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPE_WIDTH)
    console.print(_table(plan))
    for line in [
        "> the choice; * the part that sets the time; ! a limit forbids the point",
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


def _table(plan: Plan) -> Table:
    settings = plan.settings
    table = Table(
        title=(
            f"{settings.model}, {settings.stem} stem, {settings.input_size}x{settings.input_size}, "
            f"batch {settings.batch_size}: {link_text(plan)}"
        ),
        title_justify="left",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for name in ("point", "after", "features"):
        table.add_column(name, overflow="fold")
    for name in (
        "bits", "bytes\nper sample", "of raw", "edge\nparams", "edge\nmemory", "edge\nms",
        "link\nms", "cloud\nms", "time\nms", "full\ncloud ms", "split\nlearning", "reduction",
    ):  # fmt: skip
        table.add_column(name, justify="right")
    if any(point.accuracy is not None for point in plan.points):
        table.add_column("accuracy", justify="right")
    for point in better_bits(plan):
        is_chosen = point.prediction is plan.chosen
        table.add_row(*_cells(plan, point), style="bold" if is_chosen else None)
    return table


def _cells(plan: Plan, point: PlannedPoint) -> list[str]:
    one = point.prediction
    mark = ">" if one is plan.chosen else "!" if point.why_not else " "
    cells = [
        f"{mark} {one.cut.split}",
        one.cut.module,
        "x".join(map(str, one.cut.feature_shape)),
        str(one.bits),
        f"{one.feature_bytes:,.0f}",
        f"{one.feature_bytes / plan.raw_bytes:.0%}",
        count_text(one.cut.edge_parameters),
        size_text(one.peak_memory_bytes),
        _part(one, "edge", one.hierarchical.edge.busy_s),
        _part(one, "link", one.hierarchical.link.busy_s),
        _part(one, "cloud", one.hierarchical.cloud.busy_s),
        ms_text(one.seconds),
        ms_text(plan.full_cloud.pipeline_s),
        ms_text(one.split_learning.total_s),
        f"{one.reduction_percent:.1f} %",
    ]
    if point.accuracy is not None:
        cells.append(f"{point.accuracy:.1%}")
    return cells


def _part(prediction: Prediction, name: str, seconds: float) -> str:
    mark = "*" if prediction.hierarchical.slowest == name else " "
    return f"{ms_text(seconds)}{mark}"
