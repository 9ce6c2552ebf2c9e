"""`hiertk study new-classes`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from hiertk_protocol import console

from hiertk.commands.options import Debug, Json


def new_classes(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="One seed, one separation point, few images.")
    ] = False,
    data: Annotated[
        str, typer.Option(help="A data set's name (hiertk data), or folder:PATH.")
    ] = "fashion-mnist",
    model: Annotated[str, typer.Option(help="A network's name: hiertk models.")] = "resnet18",
    out: Annotated[Path, typer.Option(help="Where the results go, JSON.")] = Path(
        "new-classes.json"
    ),
    page: Annotated[
        Path | None,
        typer.Option(help="Write a page of the results here, .md, and its pictures beside --out."),
    ] = None,
    work: Annotated[
        Path, typer.Option(help="Where finished cells stay, so that a run can go on.")
    ] = Path("study-new-classes"),
    jobs: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes. Default: one for each core.")
    ] = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Measure how well new classes are learned, and what is forgotten meanwhile.

    Some classes are learned first; then the others come one after the other, as a stream, to a
    device's learner and reservoir and the cloud's log and trainer, without agent and network.
    Compared are the whole method, each of its parts switched off alone, rehearsal on one
    side only, naive fine-tuning, streaming LDA on the base's features, and joint training on all
    classes. Measured are both exits, class by class, after each phase and after 5 to 100 examples
    of each new class.

    --quick takes a few minutes, the whole some 60 to 90 on two cores; let nothing else run
    meanwhile. Finished cells stay in --work: the same command goes on where it was interrupted.

    Example: hiertk study new-classes --quick --page new-classes.md
    """
    console.terminate_like_interrupt()
    from hiertk.study.drawing import check_page
    from hiertk.study.new_classes.page import write_page
    from hiertk.study.new_classes.run import run_study
    from hiertk.study.new_classes.settings import FULL, QUICK, StudySettings
    from hiertk.study.new_classes.table import print_study
    from hiertk.study.records import write_record

    if page is not None:
        check_page(page)
    done = run_study(
        StudySettings(size=QUICK if quick else FULL, data=data, model=model),
        work,
        jobs=jobs,
        command=_command(quick=quick, data=data, model=model),
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
    write_record(out, done)
    if page is not None:
        write_page(page, out, done)
    if json_:
        print(done.model_dump_json())
        return
    print_study(done)
    print(f"Wrote {out}" + ("" if page is None else f" and {page}"))


def _command(*, quick: bool, data: str, model: str) -> str:
    """Return the command that gives the same results; where it keeps them is left out."""
    size = ["--quick"] if quick else []
    return shlex.join(["hiertk", "study", "new-classes", *size, "--data", data, "--model", model])
