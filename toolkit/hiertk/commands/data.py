"""`hiertk data`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hiertk.commands.options import Debug, Json


def data(
    spec: Annotated[str, typer.Argument(help="A data set's name, or folder:PATH.")],
    out: Annotated[Path, typer.Option(help="Folder to write: OUT/CLASS/NUMBER.png.")],
    *,
    part: Annotated[str, typer.Option(help="train or test.")] = "train",
    shard: Annotated[
        str, typer.Option(help="K/N: the K-th of N equal shares, one for each device.")
    ] = "1/1",
    force: Annotated[bool, typer.Option("--force", help="Replace a folder that exists.")] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Write a data set as image files, one folder a class, as devices read them.

    Names: fashion-mnist-mini (shipped, no network needed), fashion-mnist, cifar10, cifar100,
    tiny-imagenet, rendered-characters (100 characters drawn from this machine's fonts).

    Example: hiertk data fashion-mnist-mini --shard 1/2 --out device-1
    """
    from hiertk.data import load, write_image_folder
    from hiertk.data.sets import check_part, parse_shard

    images = load(spec, check_part(part))
    chosen = parse_shard(shard, len(images))
    size = write_image_folder(images, chosen, out, replace=force)
    if json_:
        print(json.dumps({"folder": str(out), "images": len(chosen), "bytes": size}))
        return
    print(f"Wrote {len(chosen)} images of {len(images.classes)} classes to {out} ({size} bytes)")
