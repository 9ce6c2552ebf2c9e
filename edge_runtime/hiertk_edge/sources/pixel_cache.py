"""Decoded images of a data set, kept on the device's disk for the next pass.

Decoding takes a sixth of a small network's step. The file has a record for each image at its place:
checksum, time and size of the image file, pixels. An image file that was changed, and a record that
a power cut has torn, are decoded again.
"""

import hashlib
import logging
import os
import struct
import zlib
from collections.abc import Container
from pathlib import Path

import numpy as np
from hiertk_protocol.private_files import OWNER_ONLY

from hiertk_edge.images import Pixels

MAX_BYTES = 64 << 20
_HEAD = struct.Struct("<Iqq")
_SUFFIX = ".pixels"
_log = logging.getLogger(__name__)


class PixelCache:
    """One data set's. Images beyond the bound, and those of a disk that refuses, are not kept."""

    def __init__(self, folder: Path, name: str, size: int) -> None:
        """Prepare. name: tells the data set from others. size: of an image's side, pixels."""
        digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
        self.path = folder / f"{digest[:16]}-{size}{_SUFFIX}"
        self._shape = (size, size, 3)
        self._record_bytes = _HEAD.size + 3 * size * size
        self._most = MAX_BYTES // self._record_bytes
        self._file: int | None = None
        self._is_given_up = False

    def get(self, index: int, image: str) -> Pixels | None:
        """Return the pixels (size, size, 3) of an image file; None if they have to be decoded."""
        file = self._opened(index)
        if file is None:
            return None
        try:
            record = os.pread(file, self._record_bytes, index * self._record_bytes)
            if len(record) < self._record_bytes:
                return None
            checksum, *stamp = _HEAD.unpack_from(record)
            if tuple(stamp) != _stamp(image) or checksum != zlib.crc32(record[4:]):
                return None
        except OSError:
            return None
        return np.frombuffer(record, np.uint8, offset=_HEAD.size).reshape(self._shape)

    def put(self, index: int, image: str, pixels: Pixels) -> None:
        """Keep the pixels of an image file, if there is room."""
        file = self._opened(index)
        if file is None:
            return
        try:
            stamped = _HEAD.pack(0, *_stamp(image))[4:] + pixels.tobytes()
            record = struct.pack("<I", zlib.crc32(stamped)) + stamped
            os.pwrite(file, record, index * self._record_bytes)
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Close the file; from then on nothing is kept."""
        self._is_given_up = True
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _opened(self, index: int) -> int | None:
        """Return the open file, if the image of this index may be in it."""
        if index >= self._most or self._is_given_up:
            return None
        if self._file is None:
            try:
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                self._file = os.open(self.path, flags, OWNER_ONLY)
            except OSError as error:
                self._give_up(error)
        return self._file

    def _give_up(self, error: OSError) -> None:
        _log.warning("%s: %s: images are decoded in every pass", self.path, error.strerror)
        self.close()


def remove_others(folder: Path, kept: Container[Path]) -> None:
    """Remove what other data sets have left in a folder."""
    for path in folder.glob(f"*{_SUFFIX}"):
        if path not in kept:
            path.unlink(missing_ok=True)


def _stamp(image: str) -> tuple[int, int]:
    status = os.stat(image)  # noqa: PTH116  (a Path for each image would cost more)
    return status.st_mtime_ns, status.st_size
