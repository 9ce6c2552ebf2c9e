"""The profiles that come with HierTK: networks measured on one workstation, as package data."""

import re
from pathlib import Path
from typing import Literal

Role = Literal["edge", "cloud"]

_FOLDER = Path(__file__).parent / "shipped"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]+")  # others are the user's own, and never shipped


def shipped_profile(network: str, stem: str, input_size: int, role: Role) -> Path | None:
    """Return the shipped profile of a network with batch normalization; None if there is none."""
    if not _PLAIN_NAME.fullmatch(network):
        return None
    with_stem = network if stem == "torchvision" else f"{network}-{stem}"
    path = _FOLDER / f"{with_stem}-{input_size}-{role}.toml"
    return path if path.is_file() else None
