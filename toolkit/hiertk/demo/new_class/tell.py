"""The demo in the terminal: a line for each measurement, and what came of it."""

from rich.console import Console
from rich.table import Table

from hiertk.demo.new_class.record import Learned, NewClassResults, Point

_BAR = 10


def point_line(point: Point) -> str:
    """Return one measurement as a line with bars."""
    return (
        f"{point.seconds:5.1f} s {point.examples:3d} shown  "
        f"early exit {_bar(point.new.early)}  final exit {_bar(point.new.final)}  "
        f"old classes {_percent(point.old.early)} and {_percent(point.old.final)}"
    )


def print_results(results: NewClassResults, console: Console) -> None:
    """Print what was learned as a table."""
    last = results.points[-1]
    table = Table(title=f"{results.new_class}, a new class", title_justify="left")
    for heading in ("", "early exit", "final exit"):
        table.add_column(heading, justify="left" if not heading else "right")
    rows = (
        ("new class, before", results.before.new),
        ("new class, at the end", last.new),
        ("old classes, before", results.before.old),
        ("old classes, at the end", last.old),
    )
    for name, share in rows:
        table.add_row(name, _percent(share.early), _percent(share.final))
    table.add_row("first majority", _learned(results.early), _learned(results.final))
    console.print(table)
    console.print(
        f"of {results.test_images} test images each, {last.examples} labelled examples",
        highlight=False,
    )


def _learned(learned: Learned | None) -> str:
    if learned is None:
        return "not reached"
    return f"{learned.seconds:.0f} s, {learned.examples} examples"


def _percent(share: float | None) -> str:
    return "  -" if share is None else f"{100 * share:3.0f} %"


def _bar(share: float | None) -> str:
    filled = 0 if share is None else round(_BAR * share)
    return f"{'█' * filled}{'░' * (_BAR - filled)} {_percent(share)}"
