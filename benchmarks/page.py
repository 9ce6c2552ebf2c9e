"""docs/benchmarks.md, written from results."""

from pathlib import Path

from hiertk_protocol.files import atomic_file

from benchmarks.figures import Figure
from benchmarks.results import Result, Results

_NOTES = Path(__file__).parent / "notes.md"
_HEAD = """\
# Benchmarks

Written by `make bench` (`python -m benchmarks`): change the program or `benchmarks/notes.md`, not
this page. Raw samples: [results/benchmarks.json](results/benchmarks.json).

Speeds are compared within one run, by turns (A B A B ...), on one thread each and after a warm-up;
a figure is the median over the turns, with the quartiles and the number of turns behind it.
"""


def write_page(path: Path, results: Results, order: list[str]) -> None:
    """Write the page; benchmarks come in the given order."""
    found = [results.results[name] for name in order if name in results.results]
    parts = [_HEAD, _summary(found), *(_section(result) for result in found), _NOTES.read_text()]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        temporary.write_text("\n".join(parts))


def _summary(results: list[Result]) -> str:
    rows = [
        f"| {figure.what} | {figure.target_text} | {figure.text} | {_bold(figure)} "
        f"| `{result.command}` |"
        for result in results
        for figure in result.figures
        if figure.target is not None
    ]
    head = "| what | target | measured | verdict | command |\n| --- | --- | --- | --- | --- |"
    return "\n".join([head, *rows, ""])


def _section(result: Result) -> str:
    rows = [
        f"| {figure.what} | {figure.text} | {figure.target_text} | {figure.verdict} |"
        for figure in result.figures
    ]
    head = "| what | measured | target | verdict |\n| --- | --- | --- | --- |"
    where = f"Measured on {result.date} in {result.seconds:.0f} s on: {result.machine.text}."
    return "\n".join([f"## {result.title}", result.how, "", head, *rows, "", where, ""])


def _bold(figure: Figure) -> str:
    return figure.verdict if figure.verdict == "met" else f"**{figure.verdict}**"
