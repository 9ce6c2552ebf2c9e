"""What several commands have in common: options, and where their log goes."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

BundleOption = Annotated[Path, typer.Option(help="The bundle: a folder, or a zip of one.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option(help="The configuration. Default: /etc/hiertk/edge.toml, if it is there."),
]
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


def log_to_stderr(*, debug: bool) -> None:
    """Write log lines to stderr, warnings of libraries included."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if debug else logging.INFO,
        format="%(message)s",
    )
    logging.captureWarnings(capture=True)
