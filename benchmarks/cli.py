"""The command line of the benchmarks."""

import os

# Before torch is imported anywhere.
os.environ["OMP_NUM_THREADS"] = "1"

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from hiertk_protocol import console
from hiertk_protocol.errors import ConfigError
from rich.console import Console
from rich.table import Table

from benchmarks import (
    agent,
    backends,
    cloud,
    codec,
    crowd,
    dashboard,
    devices,
    edge_memory,
    edge_step,
    export,
    growth,
    ingest,
    memory_parts,
    outage,
    overlap,
    phone_codec,
    phone_step,
    plan,
    prediction,
    rehearsal,
    restart,
    spool,
)
from benchmarks.figures import Figure
from benchmarks.machine import this_machine
from benchmarks.page import write_page
from benchmarks.results import Result, Results, read_results, today, write_results
from benchmarks.workplace import ROOT, Effort, Workplace, export_resnet18

BENCHMARKS = {
    "edge_step": edge_step,
    "backends": backends,
    "edge_memory": edge_memory,
    "growth": growth,
    "memory_parts": memory_parts,
    "agent": agent,
    "spool": spool,
    "rehearsal": rehearsal,
    "codec": codec,
    "cloud": cloud,
    "ingest": ingest,
    "devices": devices,
    "restart": restart,
    "dashboard": dashboard,
    "overlap": overlap,
    "outage": outage,
    "crowd": crowd,
    "plan": plan,
    "prediction": prediction,
    "export": export,
}
# They need Maven and a JDK, too, so they run only where they are named.
OF_THE_PHONE = {"phone_step": phone_step, "phone_codec": phone_codec}
EVERY = BENCHMARKS | OF_THE_PHONE
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "docs" / "results" / "benchmarks.json"

app = typer.Typer(
    name="python -m benchmarks",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def measure(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME ...]",
            help=f"Which ones: {', '.join(BENCHMARKS)}. Default: all these. By name only, since "
            f"they need Maven, JDK 17 and gcc: {', '.join(OF_THE_PHONE)}.",
        ),
    ] = None,
    *,
    json_: Annotated[
        Path | None, typer.Option("--json", help="Write the raw figures of this run here, too.")
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Fewer repetitions, to try; leaves the page as it is."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Measure speed, memory and overlap, and write docs/benchmarks.md.

    Takes some 75 minutes, a quarter of them for accuracies; a few with --quick. Let nothing else
    run on the machine: speeds are ratios of things that take turns, which helps, but overlap and
    prediction need two free cores. Named benchmarks replace their own part of the page only.

    Example: python -m benchmarks edge_step codec
    """
    chosen = names or list(BENCHMARKS)
    unknown = [name for name in chosen if name not in EVERY]
    if unknown:
        raise ConfigError(f"no benchmark {unknown[0]}: choose from {', '.join(EVERY)}")
    results = measure_all(chosen, "quick" if quick else "full")
    if json_ is not None:
        write_results(json_, Results().with_newer(results))
    print_figures([figure for result in results for figure in result.figures])
    if not quick:
        kept = read_results(RESULTS).with_newer(results)
        write_results(RESULTS, kept)
        write_page(PAGE, kept, list(EVERY))
        print(f"Wrote {PAGE} and {RESULTS}")


def measure_all(names: list[str], effort: Effort) -> list[Result]:
    """Measure benchmarks by name, one after another."""
    results = []
    with tempfile.TemporaryDirectory(prefix="hiertk-bench-") as temporary:
        folder = Path(temporary)
        print("exporting a bundle of ResNet-18, separation point 2", flush=True)
        bundle = export_resnet18(folder / "bundle")
        for name in names:
            own = folder / name
            own.mkdir()
            place = Workplace(own, bundle, effort, tell=_teller(name))
            benchmark = EVERY[name]
            place.tell(benchmark.TITLE)
            started = time.monotonic()
            figures = benchmark.measure(place)
            results.append(
                Result(
                    name=name,
                    title=benchmark.TITLE,
                    how=benchmark.HOW,
                    date=today(),
                    seconds=time.monotonic() - started,
                    machine=this_machine(),
                    figures=tuple(figures),
                )
            )
    return results


def print_figures(figures: list[Figure]) -> None:
    """Print the table of figures."""
    table = Table("what", "target", "measured", "verdict")
    for figure in figures:
        table.add_row(figure.what, figure.target_text, figure.text, figure.verdict)
    Console().print(table)


def _teller(name: str) -> Callable[[str], None]:
    started = time.monotonic()

    def tell(text: str) -> None:
        print(f"[{name} {time.monotonic() - started:5.1f} s] {text}", flush=True)

    return tell


def main() -> None:
    """Run the command line."""
    console.terminate_like_interrupt()
    console.run(app)
