"""The header of a file of edge weights: whose it is, before anything of it is used."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from hiertk_protocol.bundle import EDGE_WEIGHTS_FORMAT
from hiertk_protocol.errors import ModelError
from safetensors import SafetensorError, safe_open

_STEP_DIGITS = 15


@contextmanager
def opened(path: Path, framework: Literal["numpy", "pt"]) -> Iterator[Any]:
    """Open a safetensors file. Raises ModelError if it is none."""
    try:
        with safe_open(path, framework) as file:
            yield file
    except (OSError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(f"not a safetensors file: {first[:200]}") from error


def check_edge_file(path: Path, bundle_id: bytes) -> int:
    """Return the edge step of a device's weights. Raises ModelError if they are no such file."""
    with opened(path, "numpy") as file:
        metadata: dict[str, str] = file.metadata() or {}
    if metadata.get("format") != EDGE_WEIGHTS_FORMAT:
        raise ModelError("not a file of edge weights: write one with hiertk-edge weights")
    owner = metadata.get("bundle_id", "")
    if owner != bundle_id.hex():
        raise ModelError(
            f"edge weights of bundle {owner[:16]!r}, this service trains {bundle_id.hex()[:16]}: "
            "take a device of this deployment"
        )
    edge_step = metadata.get("edge_step", "")
    if not (edge_step.isascii() and edge_step.isdecimal() and len(edge_step) <= _STEP_DIGITS):
        raise ModelError(f"edge weights: edge step {edge_step[:20]!r} is no number")
    return int(edge_step)
