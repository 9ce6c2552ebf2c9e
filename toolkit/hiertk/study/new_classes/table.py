"""The study in the terminal."""

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from hiertk.study.new_classes.methods import TITLES
from hiertk.study.new_classes.records import Study
from hiertk.study.new_classes.summary import (
    EXITS,
    all_classes,
    cells_of,
    forgotten,
    new_classes,
    old_classes,
    splits_of,
    spread,
    verdicts,
)

_COLUMNS = (("all", all_classes), ("old", old_classes), ("new", new_classes), ("lost", forgotten))


def print_study(study: Study) -> None:
    """Print a table for each separation point, and what was to be reached."""
    console = Console(highlight=False)
    for name, title in TITLES.items():
        console.print(f"{name}: {title}", soft_wrap=True, markup=False)
    for split in splits_of(study):
        table = Table(
            title=f"separation point {split}: accuracy at the end, %", box=SIMPLE, title_style=""
        )
        table.add_column("method")
        for of in EXITS:
            for name, _ in _COLUMNS:
                table.add_column(f"{of}\n{name}", justify="right")
        for method in TITLES:
            cells = cells_of(study, method, split)
            if cells:
                means = [spread(cells, figure, of).mean for of in EXITS for _, figure in _COLUMNS]
                table.add_row(method, *(f"{100 * mean:.1f}" for mean in means))
        console.print(table)
        for verdict in verdicts(study, split):
            console.print(verdict.line, soft_wrap=True, markup=False)
