"""`hiertk study runtime`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from hiertk_protocol import console

from hiertk.commands.options import Backend, Debug, Json
from hiertk.commands.study.options import Precision

if TYPE_CHECKING:
    from hiertk.study.runtime.settings import RuntimeSettings


def runtime(
    *,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="1.1 Mbit/s, one cut, 320 images, 2 epochs."),
    ] = False,
    data: Annotated[
        str, typer.Option(help="A data set's name (hiertk data), or folder:PATH.")
    ] = "fashion-mnist",
    models: Annotated[
        str, typer.Option(help="Networks with commas between: hiertk models.")
    ] = "resnet18",
    sizes: Annotated[str, typer.Option(help="Input sizes in pixels, with commas between.")] = "32",
    links: Annotated[
        str, typer.Option(help="Uplinks with commas between.")
    ] = "1.1mbit,5.85mbit,18.88mbit",
    ways: Annotated[
        str,
        typer.Option(
            help="Of raw, png-once, jpeg-once, split-fp32, split-fp16, hierarchical, edge-first "
            "and replay, with commas between; or all."
        ),
    ] = "all",
    cuts: Annotated[
        str,
        typer.Option(
            help="SPLIT:BITS, SPLIT:BITS:CHANNELS of a bottleneck, or plan for the planner's "
            "choice for each link, with commas between. Default: five of ResNet-18's or VGG-16's, "
            "else plan."
        ),
    ] = "",
    images: Annotated[int, typer.Option(min=128, help="Training images.")] = 1920,
    epochs: Annotated[int, typer.Option(min=2, max=1000, help="Over the images.")] = 3,
    levels: Annotated[
        str,
        typer.Option(
            help="Accuracies with commas between, e.g. 70%,80%: also measure when, and after how "
            "many bytes, each is reached."
        ),
    ] = "",
    backend: Backend = "onnxruntime",
    precision: Precision = "float32",
    out: Annotated[
        Path, typer.Option(help="Where the results go, JSON; other studies in it stay.")
    ] = Path("runtime.json"),
    page: Annotated[
        Path | None,
        typer.Option(help="Write a page of all results in --out here, .md, pictures beside --out."),
    ] = None,
    work: Annotated[
        Path, typer.Option(help="Where finished cells stay, so that a run can go on.")
    ] = Path("study-runtime"),
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Measure ways of training side by side over a slow link.

    A device, a cloud and a broker, in processes of their own over a shaped link: full-cloud
    training with raw images each epoch, or with PNG or JPEG sent once; split learning with
    gradients back; and hierarchical training as it is deployed, also with the edge trained first
    and with replay in the cloud. Measured are the time of an epoch, bytes both ways, processor time
    and memory; with --levels also how soon each way gets how good.

    With root, tc and Mosquitto the link is two network namespaces, else a shaping proxy. Let
    nothing else run meanwhile. --quick takes some five minutes on two cores, the whole some hours
    for each network and size. Finished cells stay in --work: the same command goes on where it was
    interrupted.

    Example: hiertk study runtime --quick --data fashion-mnist-mini --levels 40% --page runtime.md
    """
    console.terminate_like_interrupt()
    from hiertk.planner.units import parse_rate, parse_share
    from hiertk.study.drawing import check_page
    from hiertk.study.precision import parse_precision
    from hiertk.study.results import add_study, read_results
    from hiertk.study.runtime.page import write_page
    from hiertk.study.runtime.records import RuntimeResults
    from hiertk.study.runtime.run import run_study
    from hiertk.study.runtime.settings import WAYS, RuntimeSettings, parse_sizes
    from hiertk.study.runtime.table import print_study

    if page is not None:
        check_page(page)
    results = read_results(out, RuntimeResults)  # before the work: it may be no such file
    asked = [
        RuntimeSettings(
            data=data,
            model=model,
            input_size=size,
            links=tuple(parse_rate("--links", link) for link in links.split(",")),
            ways=tuple(WAYS) if ways == "all" else tuple(ways.split(",")),
            cuts=cuts,
            images=images,
            epochs=epochs,
            levels=tuple(parse_share("--levels", level) for level in levels.split(",") if level),
            backend=backend,
            precision=parse_precision(precision),
        )
        for model in models.split(",")
        for size in parse_sizes(sizes)
    ]
    for settings in [one.quick() for one in asked] if quick else asked:
        done = run_study(
            settings,
            work,
            command=_command(settings),
            tell=lambda line: print(line, file=sys.stderr, flush=True),
        )
        results = add_study(out, RuntimeResults, done)
        if json_:
            print(done.model_dump_json())
        else:
            print_study(done)
    if page is not None:
        write_page(page, out, results)
    if not json_:
        print(f"Wrote {out}" + ("" if page is None else f" and {page}"))


def _command(settings: "RuntimeSettings") -> str:
    """Return the command that gives the same results; where it keeps them is left out."""
    return shlex.join(["hiertk", "study", "runtime", *settings.as_options()])
