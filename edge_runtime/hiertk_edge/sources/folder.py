"""Listing `folder:PATH`: PATH/CLASS/FILE, as `hiertk data --out PATH` writes them."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hiertk_protocol.errors import ConfigError

from hiertk_edge.images import SUFFIXES
from hiertk_edge.sources.listing import LabelNumbers, Listing, refuse_too_many, some
from hiertk_edge.sources.record import FixedLabels, Labels

_log = logging.getLogger(__name__)


def list_folder(path: Path, class_names: Sequence[str], labels: Labels | None = None) -> Listing:
    """List the images. Raises ConfigError for a subfolder that is no class, or no images.

    class_names: the bundle's. labels: which names are classes; None: these.
    """
    labels = labels or FixedLabels(class_names)
    numbers = LabelNumbers(class_names, labels)
    files: list[str] = []
    found: list[int] = []
    for folder in _subfolders(path):
        number = numbers.number_of(folder)
        if number is None:
            raise ConfigError(
                f"{path / folder}: no class is called so: there are {some(labels.names)}: rename "
                'or move the folder, or set [classes] new = "accept"'
            )
        names = _image_names(path / folder)
        files.extend(f"{folder}/{name}" for name in names)
        found.extend([number] * len(names))
        refuse_too_many(path, len(files))
    if len(files) < 2:
        raise ConfigError(
            f"{path}: {len(files)} images: put at least 2 ({', '.join(SUFFIXES)}) "
            f"into subfolders named after their class: {some(labels.names)}"
        )
    return Listing(path, tuple(files), np.array(found, np.uint16), numbers.classes)


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
