"""`hiertk-edge profile`: measure this device for `hiertk plan`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from hiertk_protocol import console

from hiertk_edge.commands.options import Debug, Json, PublicKey, Threads, log_to_stderr


def profile(
    *,
    bundle: Annotated[
        Path, typer.Option(help="A bundle, or a folder of cuts: split-1, split-2...")
    ],
    out: Annotated[Path, typer.Option(help="The profile to write, TOML.")],
    data: Annotated[
        str | None,
        typer.Option(help="folder:PATH of images. Default: the bundle's golden images."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=2, max=4096, help="Images per step. Default: the bundle's.")
    ] = None,
    threads: Threads = 1,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=3600, help="How long to measure each cut, about.")
    ] = 5.0,
    public_key: PublicKey = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Measure what a training step takes on this device, at every cut of a network.

    Times, memory and message sizes go into a small file, from which `hiertk plan` says where to
    cut. Let nothing else run meanwhile.

    Example: hiertk-edge profile --bundle cuts --out pi.toml
    """
    from hiertk_protocol.profile_file import prepare_output, write_profile
    from hiertk_protocol.trust import trusted_key

    from hiertk_edge.profiling import ProfileSettings, print_edge_profile, profile_edge

    log_to_stderr(debug=debug)
    console.terminate_like_interrupt()
    prepare_output(out, replace=force)
    measured = profile_edge(
        ProfileSettings(
            bundle=bundle,
            folder=out.parent,
            data=data,
            batch_size=batch_size,
            threads=threads,
            seconds=seconds,
            public_key=trusted_key(public_key),
        ),
        lambda line: print(line, file=sys.stderr, flush=True),
    )
    write_profile(out, measured)
    if json_:
        print(measured.model_dump_json())
        return
    print_edge_profile(measured)
    print(f"Wrote {out}")
