"""Listing `folder:PATH`: PATH/CLASS/FILE, as `hiertk data --out PATH` writes them."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hiertk_protocol.errors import ConfigError

from hiertk_edge.images import SUFFIXES
from hiertk_edge.sources.listing import Listing, refuse_too_many, some

_log = logging.getLogger(__name__)


def list_folder(path: Path, class_names: Sequence[str]) -> Listing:
    """List the images. Raises ConfigError for a subfolder that is no class, or no images."""
    slots = {name: slot for slot, name in enumerate(class_names)}
    files: list[str] = []
    labels: list[int] = []
    for folder in _subfolders(path):
        if folder not in slots:
            raise ConfigError(
                f"{path / folder}: no class of this bundle is called so: it has "
                f"{some(class_names)}: rename or move the folder"
            )
        names = _image_names(path / folder)
        files.extend(f"{folder}/{name}" for name in names)
        labels.extend([slots[folder]] * len(names))
        refuse_too_many(path, len(files))
    if len(files) < 2:
        raise ConfigError(
            f"{path}: {len(files)} images: put at least 2 ({', '.join(SUFFIXES)}) "
            f"into subfolders named after their class: {some(class_names)}"
        )
    return Listing(path, tuple(files), np.array(labels, np.uint16))


def _subfolders(path: Path) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: name a folder of images") from error


def _image_names(folder: Path) -> list[str]:
    images: list[str] = []
    others = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith("."):
                    images.append(entry.name)
                    refuse_too_many(folder, len(images))
                elif not entry.name.startswith("."):
                    others += 1
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}: make it readable") from error
    if others:
        _log.warning("%s: %d files are no images, ignored", folder, others)
    return sorted(images)
