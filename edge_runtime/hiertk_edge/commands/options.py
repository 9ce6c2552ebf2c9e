"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

BundleOption = Annotated[Path, typer.Option(help="The bundle: a folder, or a zip of one.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
PublicKey = Annotated[
    Path | None,
    typer.Option(
        help="Take the bundle only if it was signed with this key. Default: /etc/hiertk/bundle.pub "
        "where it exists, else no signature is asked for."
    ),
]
Threads = Annotated[int, typer.Option(min=1, help="Threads of the engine.")]
