"""Activations in channels-last layout, cut into chunks of the batch.

XNNPACK's matrix products want pixels as rows and channels as columns. A chunk holds about as many
pixels as fit a core's second-level cache with 64 channels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hiertk.export.xnnpack.graph import Shape, Value, not_before
from hiertk.export.xnnpack.operators import Operators

_PIXELS = 1024


@dataclass(frozen=True)
class Activation:
    """A tensor (N, C, H, W) as chunks (n, H, W, C), along N."""

    chunks: tuple[Value, ...]

    @property
    def shape(self) -> Shape:
        """(N, C, H, W)."""
        _, height, width, channels = self.chunks[0].shape
        return sum(self.sizes), channels, height, width

    @property
    def sizes(self) -> tuple[int, ...]:
        """Samples of each chunk."""
        return tuple(chunk.shape[0] for chunk in self.chunks)

    def map(self, function: Callable[[Value], Value]) -> "Activation":
        """Return what a function makes of each chunk."""
        return Activation(tuple(function(chunk) for chunk in self.chunks))


def pairs(left: Activation, right: Activation) -> Iterator[tuple[Value, Value]]:
    """Yield the chunks of two activations with the same chunks, side by side."""
    yield from zip(left.chunks, right.chunks, strict=True)


def with_gradient(saved: Activation, gradient: Activation) -> Iterator[tuple[Value, Value]]:
    """Yield a saved activation's chunks beside their gradients, not to be used before these."""
    for chunk, change in pairs(saved, gradient):
        yield not_before(chunk, change), change


def chunk_sizes(samples: int, height: int, width: int) -> tuple[int, ...]:
    """Return the chunks of a batch of images of this size."""
    size = max(1, min(samples, _PIXELS // (height * width)))
    rest = samples % size
    return (size,) * (samples // size) + ((rest,) if rest else ())


def from_channels_first(operators: Operators, value: Value) -> Activation:
    """Cut a value (N, C, H, W) into chunks."""
    samples, _, height, width = value.shape
    return Activation(
        tuple(
            operators.transpose(operators.samples(value, start, size, start), (0, 2, 3, 1))
            for start, size in _starts(chunk_sizes(samples, height, width))
        )
    )


def to_channels_first(operators: Operators, activation: Activation) -> Value:
    """Put the chunks together as (N, C, H, W)."""
    parts = [operators.transpose(chunk, (0, 3, 1, 2)) for chunk in activation.chunks]
    return operators.concatenate(parts, 0)


def to_matrix(operators: Operators, activation: Activation) -> Value:
    """Put the chunks of an activation (N, C, 1, 1) together as (N, C)."""
    samples, channels, _, _ = activation.shape
    whole = operators.concatenate(activation.chunks, 0)
    return operators.reshape(whole, (samples, channels))


def from_matrix(operators: Operators, value: Value) -> Activation:
    """Return (N, C) as an activation (N, C, 1, 1) of one chunk."""
    samples, channels = value.shape
    return Activation((operators.reshape(value, (samples, 1, 1, channels)),))


def rechunk(operators: Operators, activation: Activation, sizes: tuple[int, ...]) -> Activation:
    """Cut an activation into other chunks: finer or coarser ones."""
    if activation.sizes == sizes:
        return activation
    held = dict(
        zip((start for start, _ in _starts(activation.sizes)), activation.chunks, strict=True)
    )
    found = []
    for start, size in _starts(sizes):
        parts = []
        for first, chunk in held.items():
            begin, end = max(start, first), min(start + size, first + chunk.shape[0])
            if begin >= end:
                continue
            whole = end - begin == chunk.shape[0]
            parts.append(
                chunk if whole else operators.samples(chunk, begin - first, end - begin, begin)
            )
        found.append(operators.concatenate(parts, 0, chunk=start) if len(parts) > 1 else parts[0])
    return Activation(tuple(found))


def settle(operators: Operators, activation: Activation) -> Activation:
    """Give an activation the chunks that its height and width ask for."""
    samples, _, height, width = activation.shape
    return rechunk(operators, activation, chunk_sizes(samples, height, width))


def _starts(sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    starts = []
    start = 0
    for size in sizes:
        starts.append((start, size))
        start += size
    return starts
