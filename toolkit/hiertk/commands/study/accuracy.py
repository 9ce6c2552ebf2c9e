"""`hiertk study accuracy`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from hiertk_protocol import console

from hiertk.commands.options import Debug, Json
from hiertk.commands.study.options import Precision


def accuracy(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="One seed, separation points 2 and 6, 2,000 images.")
    ] = False,
    data: Annotated[
        str, typer.Option(help="A data set's name (hiertk data), or folder:PATH.")
    ] = "fashion-mnist",
    model: Annotated[str, typer.Option(help="A network's name: hiertk models.")] = "resnet18",
    input_size: Annotated[int, typer.Option(min=8, max=1024, help="Pixels.")] = 32,
    splits: Annotated[
        str, typer.Option(help="Separation points with commas between, or all.")
    ] = "all",
    variants: Annotated[
        str,
        typer.Option(
            help="Of plain, bottleneck (to a quarter of the channels; bottleneck:8 to 8) and "
            "group; plain is needed."
        ),
    ] = "plain,bottleneck,group",
    seeds: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 3,
    images: Annotated[
        int | None, typer.Option(min=320, help="Training images, drawn evenly. Default: all.")
    ] = None,
    passes: Annotated[int, typer.Option(min=1, max=1000, help="Over the training images.")] = 4,
    ways: Annotated[
        str,
        typer.Option(
            help="Clouds behind the plain network: features as float, at 8 or at 4 bits; at 4 bits "
            "with replay, or a larger cloud partition; slower or faster, at a third of the rate or "
            "three times it; or sgd, in AdamW's place with a rate of its own. 4 is needed."
        ),
    ] = "float,8,4,replay,larger",
    raise_splits: Annotated[
        str,
        typer.Option(
            help="Separation points at which replay, larger, slower, faster and sgd are tried, or "
            "all: they take longer than the others together."
        ),
    ] = "all",
    tune_splits: Annotated[
        str,
        typer.Option(
            help="Separation points at which learning rates are tuned, or all: the others take "
            "those of the nearest of these. Tuning one takes as long as four to ten cells."
        ),
    ] = "all",
    tune_variants: Annotated[
        str | None,
        typer.Option(
            help="Variants on which learning rates are tuned, plain among them: the others take "
            "those of plain. Default: all.",
        ),
    ] = None,
    tune_seeds: Annotated[
        int,
        typer.Option(
            min=1,
            max=100,
            help="Seeds that measure a learning rate, at most: one, and more only where a rate "
            "comes out worse than two on either side of it, as chance has it.",
        ),
    ] = 3,
    precision: Precision = "float32",
    out: Annotated[
        Path,
        typer.Option(
            help="Where the results go, JSON. Other studies in it stay; cells of this one are not "
            "run again."
        ),
    ] = Path("accuracy.json"),
    page: Annotated[
        Path | None,
        typer.Option(help="Write a page of all results in --out here, .md, pictures beside --out."),
    ] = None,
    work: Annotated[
        Path, typer.Option(help="Where finished cells stay, so that a run can go on.")
    ] = Path("study-accuracy"),
    jobs: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes. Default: one for each core.")
    ] = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Measure both exits at every separation point, against full-cloud training.

    In one process each and from fresh weights, on a GPU if there is one: full-cloud training, and
    hierarchical training cut at each separation point, with features as floats, at 8 and at 4
    bits, with replay, with a larger cloud partition, with a bottleneck, and with group
    normalization. Learning rates are tuned for each way alike first. To see whether another rate or
    SGD in the cloud raises the final exit, ask for these --ways, too: slower,faster,sgd.

    --quick takes some five minutes on two cores. The whole is for a GPU, or for days of a laptop:
    choose fewer --splits, --images and --seeds there. Finished cells stay in --work: the same
    command goes on where it was interrupted. With more --splits, --seeds or --ways it goes on from
    --out, too, on a machine with the same processor and versions; for all anew, give other names.

    Example: hiertk study accuracy --quick --data fashion-mnist-mini --page accuracy.md
    """
    console.terminate_like_interrupt()
    from hiertk.export.cuts import parse_splits
    from hiertk.study.accuracy.page import write_page
    from hiertk.study.accuracy.records import AccuracyResults
    from hiertk.study.accuracy.run import run_study
    from hiertk.study.accuracy.settings import AccuracySettings
    from hiertk.study.accuracy.table import print_study
    from hiertk.study.drawing import check_page
    from hiertk.study.precision import parse_precision
    from hiertk.study.results import add_study, read_results

    if page is not None:
        check_page(page)
    earlier = read_results(out, AccuracyResults).studies
    settings = AccuracySettings(
        data=data,
        model=model,
        input_size=input_size,
        splits=parse_splits(splits),
        variants=tuple(variants.split(",")),
        seeds=tuple(range(seeds)),
        images=images,
        passes=passes,
        ways=tuple(ways.split(",")),
        raise_splits=parse_splits(raise_splits),
        tune_splits=parse_splits(tune_splits),
        tune_variants=tuple(tune_variants.split(",")) if tune_variants else None,
        tune_seeds=tune_seeds,
        precision=parse_precision(precision),
    )
    settings = settings.quick() if quick else settings
    done = run_study(
        settings,
        work,
        jobs=jobs,
        command=shlex.join(["hiertk", "study", "accuracy", *settings.as_options()]),
        tell=lambda line: print(line, file=sys.stderr, flush=True),
        earlier=earlier,
    )
    results = add_study(out, AccuracyResults, done)
    if page is not None:
        write_page(page, out, results)
    if json_:
        print(done.model_dump_json())
        return
    print_study(done)
    print(f"Wrote {out}" + ("" if page is None else f" and {page}"))
