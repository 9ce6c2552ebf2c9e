"""The study of runtime in the terminal."""

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from hiertk.planner.amounts import rate_text
from hiertk.study.runtime.records import RuntimeStudy
from hiertk.study.runtime.summary import (
    HEADS,
    REACHED_HEADS,
    cells_at,
    links_of,
    reached_rows,
    row,
)
from hiertk.study.runtime.targets import verdicts


def print_study(study: RuntimeStudy) -> None:
    """Print every cell, link by link, when levels of accuracy were reached, and the targets."""
    console = Console(highlight=False)
    for bits_per_s in links_of(study):
        cells = cells_at(study, bits_per_s)
        title = f"{study.name}, {rate_text(bits_per_s)}"
        console.print(_table(title, HEADS, [row(study, cell) for cell in cells]))
        if study.settings.levels:
            rows = [line for cell in cells for line in reached_rows(study, cell)]
            console.print(_table(f"{title}: accuracy", REACHED_HEADS, rows))
    for one in verdicts(study):
        console.print(one.line, soft_wrap=True, markup=False)


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    found = Table(title=title, box=SIMPLE, title_style="", padding=0)
    for name in heads:
        is_name = name in {"way", "cut"}
        found.add_column(name, justify="left" if is_name else "right", no_wrap=is_name)
    for line in rows:
        found.add_row(*line)
    return found
