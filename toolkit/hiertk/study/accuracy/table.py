"""The study of accuracy in the terminal."""

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from hiertk.study.accuracy.records import AccuracyStudy
from hiertk.study.accuracy.summary import early, final, full, sent, variants, verdicts, ways


def print_study(study: AccuracyStudy) -> None:
    """Print both exits' accuracies at every separation point, one table for each variant."""
    console = Console(highlight=False)
    for variant in variants(study):
        shown = [
            way
            for way in ways(study)
            if any(final(study, point.split, variant, way) for point in study.points)
        ]
        whole = full(study, variant).percent
        title = f"{study.name}, {variant}: accuracy, % (full cloud {whole})"
        table = Table(title=title, box=SIMPLE, title_style="")
        exits = (f"final exit\n{way}" for way in shown)
        for name in ("split", "early exit", *exits, "sent\nB/sample"):
            table.add_column(name, justify="right")
        for point in study.points:
            shares = [final(study, point.split, variant, way) for way in shown]
            table.add_row(
                str(point.split),
                early(study, point.split, variant).percent,
                *(share.percent if share else "-" for share in shares),
                f"{sent(study, point.split, variant):.0f}",
            )
        console.print(table)
    for one in verdicts(study):
        console.print(one.line, soft_wrap=True, markup=False)
