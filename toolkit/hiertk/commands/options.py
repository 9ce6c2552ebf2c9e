"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
BundleArgument = Annotated[Path, typer.Argument(help="The bundle: a folder, or a zip of one.")]
PublicKey = Annotated[
    Path | None, typer.Option(help="Take the bundle only if it was signed with this key.")
]
SigningKey = Annotated[Path, typer.Option("--key", help="The private key, of `hiertk key`.")]
InputSize = Annotated[int, typer.Option(help="Height and width of the input, pixels.")]
BatchSize = Annotated[int, typer.Option(help="Images per step on the device.")]
ClassCapacity = Annotated[
    int | None,
    typer.Option(help="Slots for classes, free ones included. Default: the next multiple of 16."),
]
Backend = Annotated[
    str, typer.Option(help="What trains on the device: onnxruntime, executorch or torch.")
]
Stem = Annotated[
    str, typer.Option(help="First layers: torchvision's own, or 3x3 (no early downsampling).")
]
Normalization = Annotated[
    str,
    typer.Option(
        help="batch: statistics of each batch, trained. frozen: as in --weights. group: group "
        "normalization instead."
    ),
]
Bottleneck = Annotated[
    int | None,
    typer.Option(
        help="Send the first so many channels of the features; the early exit reads all of them. A "
        "quarter takes about a quarter of the bytes and costs little accuracy."
    ),
]
