"""Options that several studies have."""

from typing import Annotated

import typer

Precision = Annotated[
    str,
    typer.Option(
        metavar="float32|bfloat16", help="Of the cloud's training steps, in all ways alike."
    ),
]
