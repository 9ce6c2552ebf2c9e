"""Batches on the wire: cut along N into pieces that fit a message, and put together again.

A piece is a header, the labels (uint16, little endian; none with gradients) and the data. What
comes from the network is refused with ProtocolError unless it is exactly that.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from hiertk_protocol.errors import ConfigError, ProtocolError

# Twice that would keep a link of 1.1 Mbit/s busy for 8 s, and MQTT's keepalive waits behind it.
MAX_PIECE_BYTES = 512 << 10
MAX_SAMPLES = 4096
_MAX_BATCH_BYTES = 256 << 20
_MAX_FILE_BYTES = 1 << 20
# magic, kind, bytes of a value, batch number, samples of the batch, first, count, C, H, W, scale
_HEAD = struct.Struct("<2sBBIHHHHHHf")
_MAGIC = b"HR"
_TYPES: dict[int, np.dtype[Any]] = {1: np.dtype(np.uint8), 2: np.dtype("<f2"), 4: np.dtype("<f4")}

Slots = npt.NDArray[np.int64]
Values = npt.NDArray[np.uint8] | npt.NDArray[np.float16] | npt.NDArray[np.float32]
Shape = tuple[int, int, int]


class Kind(IntEnum):
    """What a batch holds."""

    PIXELS = 1
    FILES = 2
    FEATURES = 3
    GRADIENTS = 4


@dataclass(frozen=True)
class Batch:
    """One batch. number: from 1, of the run. labels: (N,) class slots; (0,) with gradients.

    values: (N, H, W, 3) uint8 pixels, or (N, C, H, W) float16 or float32 features or gradients
    times `scale`. files: N images as PNG or JPEG, instead of values.
    """

    kind: Kind
    number: int
    labels: Slots
    values: Values | None = None
    files: tuple[bytes, ...] = ()
    scale: float = 1.0

    def __len__(self) -> int:
        return len(self.files) if self.values is None else len(self.values)


@dataclass(frozen=True)
class Piece:
    """Some samples of a batch: those from `first` on, of `total`."""

    batch: Batch
    first: int
    total: int


def encode_pieces(batch: Batch) -> Iterator[bytes]:
    """Yield a batch as messages. Raises ConfigError if one sample does not fit a message."""
    total, first = len(batch), 0
    if not 1 <= total <= MAX_SAMPLES:
        raise ConfigError(f"a batch of {total} samples: from 1 to {MAX_SAMPLES}")
    sizes = _sample_sizes(batch)
    while first < total:
        end, size = first, _HEAD.size
        while end < total and size + sizes[end] <= MAX_PIECE_BYTES:
            size += sizes[end]
            end += 1
        if end == first:
            raise ConfigError(
                f"one sample takes {sizes[first]} bytes, a message {MAX_PIECE_BYTES} at most: "
                "choose a deeper separation point"
            )
        yield _encode(batch, first, end)
        first = end


def decode_piece(message: bytes) -> Piece:
    """Read a message. Raises ProtocolError for anything that encode_pieces does not write."""
    if not _HEAD.size < len(message) <= MAX_PIECE_BYTES:
        raise ProtocolError(f"a piece of {len(message)} bytes")
    magic, code, width, number, total, first, count, *shape, scale = _HEAD.unpack_from(message)
    if magic != _MAGIC or code not in list(Kind):
        raise ProtocolError("not a piece of a batch")
    if not (1 <= total <= MAX_SAMPLES and 1 <= count <= total - first and number >= 1):
        raise ProtocolError(f"samples {first} to {first + count} of {total} of batch {number}")
    if not (np.isfinite(scale) and scale > 0):
        raise ProtocolError(f"a scale of {scale}")
    kind, rest = Kind(code), memoryview(message)[_HEAD.size :]
    labels = np.empty(0, np.int64)
    if kind is not Kind.GRADIENTS:
        if len(rest) < 2 * count:
            raise ProtocolError("a piece ends within its labels")
        labels = np.frombuffer(rest[: 2 * count], "<u2").astype(np.int64)
        rest = rest[2 * count :]
    if kind is Kind.FILES:
        batch = Batch(kind, number, labels, files=_files(rest, count), scale=scale)
    else:
        values = _values(rest, kind, width, (count, *shape), total)
        batch = Batch(kind, number, labels, values=values, scale=scale)
    return Piece(batch, first, total)


class Assembly:
    """Puts the pieces of batches together, which come in order."""

    def __init__(self) -> None:
        self._pieces: list[Piece] = []

    def add(self, piece: Piece) -> Batch | None:
        """Return the batch that this piece completes. Raises ProtocolError if it is out of turn."""
        done = sum(len(one.batch) for one in self._pieces)
        if piece.first != done or not all(_fit(one, piece) for one in self._pieces[:1]):
            raise ProtocolError(
                f"sample {piece.first} of batch {piece.batch.number} came after {done} others"
            )
        self._pieces.append(piece)
        if sum(len(file) for one in self._pieces for file in one.batch.files) > _MAX_BATCH_BYTES:
            raise ProtocolError(f"the images of batch {piece.batch.number} take too much memory")
        if done + len(piece.batch) < piece.total:
            return None
        batches = [one.batch for one in self._pieces]
        self._pieces = []
        return _joined(batches)


def _sample_sizes(batch: Batch) -> list[int]:
    labels = 2 if len(batch.labels) else 0
    if batch.values is None:
        return [labels + 4 + len(file) for file in batch.files]
    return [labels + batch.values[0].nbytes] * len(batch)


def _encode(batch: Batch, first: int, end: int) -> bytes:
    values, width, shape = batch.values, 0, (0, 0, 0)
    if values is None:
        files = batch.files[first:end]
        data = b"".join([struct.pack("<I", len(file)) for file in files] + list(files))
    else:
        chosen = np.ascontiguousarray(values[first:end])
        data, width, shape = chosen.tobytes(), chosen.itemsize, chosen.shape[1:]
    head = _HEAD.pack(
        *(_MAGIC, batch.kind, width, batch.number, len(batch), first, end - first),
        *(*shape, batch.scale),
    )
    return head + batch.labels[first:end].astype("<u2").tobytes() + data


def _values(data: memoryview, kind: Kind, width: int, shape: tuple[int, ...], total: int) -> Values:
    if width not in _TYPES or (width == 1) != (kind is Kind.PIXELS):
        raise ProtocolError(f"values of {width} bytes")
    sample = int(np.prod(shape[1:], dtype=np.int64)) * width
    if not 0 < sample * total <= _MAX_BATCH_BYTES or len(data) != sample * shape[0]:
        raise ProtocolError(f"{len(data)} bytes for values of shape {shape}")
    values: Values = np.frombuffer(data, _TYPES[width]).reshape(shape)
    return values


def _files(data: memoryview, count: int) -> tuple[bytes, ...]:
    if len(data) < 4 * count:
        raise ProtocolError("a piece ends within the lengths of its images")
    lengths = np.frombuffer(data[: 4 * count], "<u4").astype(np.int64)
    if (
        lengths.min() < 1
        or lengths.max() > _MAX_FILE_BYTES
        or lengths.sum() != len(data) - 4 * count
    ):
        raise ProtocolError("the lengths of the images do not fit the piece")
    ends = 4 * count + np.cumsum(lengths)
    return tuple(
        bytes(data[end - length : end])
        for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)
    )


def _fit(one: Piece, other: Piece) -> bool:
    first, second = one.batch, other.batch
    alike = (first.kind, first.number, first.scale, one.total) == (
        *(second.kind, second.number, second.scale, other.total),
    )
    if first.values is None or second.values is None:
        return alike and first.values is second.values
    return alike and (first.values.dtype, first.values.shape[1:]) == (
        *(second.values.dtype, second.values.shape[1:]),
    )


def _joined(batches: list[Batch]) -> Batch:
    first = batches[0]
    values = None
    if first.values is not None:
        values = np.concatenate([one.values for one in batches if one.values is not None])
    return Batch(
        kind=first.kind,
        number=first.number,
        labels=np.concatenate([one.labels for one in batches]),
        values=values,
        files=tuple(file for one in batches for file in one.files),
        scale=first.scale,
    )
