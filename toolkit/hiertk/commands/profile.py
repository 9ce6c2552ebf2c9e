"""`hiertk profile`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from hiertk_protocol import console
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.profile_file import prepare_output

from hiertk.commands.options import (
    BatchSize,
    Bottleneck,
    ClassCapacity,
    Debug,
    InputSize,
    Json,
    Normalization,
    Stem,
)

_ROLES = ("edge", "cloud")


def profile(
    *,
    model: Annotated[str, typer.Option(help="A network's name: hiertk models lists them.")],
    role: Annotated[str, typer.Option(help="edge or cloud: what this machine is measured as.")],
    out: Annotated[Path, typer.Option(help="The profile to write, TOML.")],
    input_size: InputSize = 32,
    stem: Stem = "torchvision",
    normalization: Normalization = "batch",
    bottleneck: Bottleneck = None,
    batch_size: BatchSize = 32,
    splits: Annotated[
        str, typer.Option(help="Separation points: all, or numbers with commas between.")
    ] = "all",
    class_capacity: ClassCapacity = None,
    data: Annotated[
        str, typer.Option(help="Images: a data set's name, or folder:PATH.")
    ] = "fashion-mnist-mini",
    threads: Annotated[int, typer.Option(min=1, help="Threads of the engine.")] = 1,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=3600, help="How long to measure each point, about.")
    ] = 5.0,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Measure what a training step takes on this machine, at every separation point.

    As edge: the edge partition with its exit, through the engine that trains on devices. As cloud:
    the cloud partition through the cloud's trainer, and the whole network. Times, memory and
    message sizes go into a small file, from which hiertk plan says where to cut. Let nothing else
    run meanwhile.

    Example: hiertk profile --model resnet18 --role edge --out workstation-edge.toml
    """
    if role not in _ROLES:
        raise ConfigError(f"--role {role}: choose from {', '.join(_ROLES)}")
    console.terminate_like_interrupt()
    prepare_output(out, replace=force)
    from hiertk_edge.profiling import print_edge_profile
    from hiertk_protocol.profile import EdgeProfile
    from hiertk_protocol.profile_file import write_profile

    from hiertk.data import load
    from hiertk.export import ExportSettings, parse_splits
    from hiertk.profiling.cloud import profile_cloud_role
    from hiertk.profiling.edge import profile_edge_role
    from hiertk.profiling.settings import RoleSettings
    from hiertk.profiling.table import print_cloud_profile

    images = load(data, "train")
    export = ExportSettings(
        model=model,
        split=1,
        target="linux",
        classes=images.classes,
        class_capacity=class_capacity,
        input_size=input_size,
        batch_size=batch_size,
        stem=stem,
        normalization=normalization,
        bottleneck=bottleneck,
        force=True,  # its folder is a temporary one
    )
    export.check()
    settings = RoleSettings(
        export=export,
        data=data,
        images=images,
        splits=parse_splits(splits),
        folder=out.parent,
        threads=threads,
        seconds=seconds,
    )
    measure = profile_edge_role if role == "edge" else profile_cloud_role
    measured = measure(settings, lambda line: print(line, file=sys.stderr, flush=True))
    write_profile(out, measured)
    if json_:
        print(measured.model_dump_json())
        return
    if isinstance(measured, EdgeProfile):
        print_edge_profile(measured)
    else:
        print_cloud_profile(measured)
    print(f"Wrote {out}")
