"""Where a device's labelled images come from: a folder with one subfolder per class."""

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import InputInfo

from hiertk_edge.images import SUFFIXES, Float32Array, preprocess, read_image
from hiertk_edge.sources.record import ImageBatch, SlotArray

_LOGGED_IMAGES = 20
_log = logging.getLogger(__name__)


class FolderSource:
    """Labelled image files in PATH/CLASS/FILE, decoded batch by batch."""

    def __init__(self, path: Path, class_names: Sequence[str], info: InputInfo) -> None:
        """List the files. Raises ConfigError for a subfolder that is no class, or no images."""
        self._path = path
        self._info = info
        self._files, self._labels = _list_files(path, class_names)
        self._bad: set[int] = set()

    def __len__(self) -> int:
        return len(self._files)

    @property
    def bad_images(self) -> int:
        """Number of unreadable images met so far."""
        return len(self._bad)

    @property
    def digest(self) -> str:
        """The sha256 of the names of all files: another one is another data set."""
        return hashlib.sha256("\0".join(self._files).encode(errors="surrogateescape")).hexdigest()

    def batch_count(self, batch_size: int) -> int:
        """Return the number of training batches of one pass; a last one of 1 image is dropped."""
        full, rest = divmod(len(self), batch_size)
        return full + (rest >= 2)

    def training_batches(
        self, batch_size: int, *, seed: int, consumed: int, passes: int
    ) -> Iterator[ImageBatch]:
        """Yield the batches of all passes, each shuffled its own way, after `consumed` ones.

        A batch with fewer than 2 readable images is skipped: batch normalization needs two.
        """
        per_pass = self.batch_count(batch_size)
        order = np.arange(0)
        for index in range(consumed, per_pass * passes):
            number, position = divmod(index, per_pass)
            if position == 0 or not len(order):
                order = np.random.default_rng([seed, number]).permutation(len(self))
            chosen = order[position * batch_size : (position + 1) * batch_size]
            images, labels = self._read(chosen)
            if len(labels) >= 2:
                yield ImageBatch(index + 1, images, labels)

    def batches_in_order(self, batch_size: int) -> Iterator[ImageBatch]:
        """Yield every image once, in the order of the files."""
        for number, start in enumerate(range(0, len(self), batch_size)):
            images, labels = self._read(np.arange(start, min(start + batch_size, len(self))))
            if len(labels):
                yield ImageBatch(number + 1, images, labels)

    def _read(self, chosen: npt.NDArray[np.int64]) -> tuple[Float32Array, SlotArray]:
        images = np.empty((len(chosen), *self._info.shape), np.float32)
        readable: list[int] = []
        for index in chosen.tolist():
            try:
                image = read_image(self._path / self._files[index])
            except ConfigError as error:
                self._note_bad(index, error)
                continue
            images[len(readable)] = preprocess(image, self._info)
            readable.append(index)
        return images[: len(readable)], self._labels[readable].astype(np.int64)

    def _note_bad(self, index: int, error: ConfigError) -> None:
        if index in self._bad:
            return
        self._bad.add(index)
        if len(self._bad) <= _LOGGED_IMAGES:
            _log.warning("skipped: %s", error)
        if len(self._bad) == _LOGGED_IMAGES:
            _log.warning("further unreadable images are only counted")


def open_source(text: str, class_names: Sequence[str], info: InputInfo) -> FolderSource:
    """Open a source written as `folder:PATH`. Raises ConfigError."""
    kind, _, path = text.partition(":")
    if kind != "folder" or not path:
        raise ConfigError(f"data {text!r}: write folder:PATH, with one subfolder per class")
    return FolderSource(Path(path), class_names, info)


def _list_files(path: Path, class_names: Sequence[str]) -> tuple[list[str], npt.NDArray[np.uint16]]:
    slots = {name: slot for slot, name in enumerate(class_names)}
    files: list[str] = []
    labels: list[int] = []
    for folder in _subfolders(path):
        if folder not in slots:
            raise ConfigError(
                f"{path / folder}: no class of this bundle is called so: it has "
                f"{_some(class_names)}: rename or move the folder"
            )
        names = _image_names(path / folder)
        files.extend(f"{folder}/{name}" for name in names)
        labels.extend([slots[folder]] * len(names))
    if len(files) < 2:
        raise ConfigError(
            f"{path}: {len(files)} images: put at least 2 ({', '.join(SUFFIXES)}) "
            f"into subfolders named after their class: {_some(class_names)}"
        )
    return files, np.array(labels, np.uint16)


def _subfolders(path: Path) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: name a folder of images") from error


def _image_names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(e.name for e in entries if not e.name.startswith("."))
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}: make it readable") from error
    images = [name for name in names if name.lower().endswith(SUFFIXES)]
    if len(images) < len(names):
        _log.warning("%s: %d files are no images, ignored", folder, len(names) - len(images))
    return images


def _some(names: Sequence[str], limit: int = 12) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
