"""Rules for operators that only move or repeat values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from hiertk.export.xnnpack.graph import Value
from hiertk.export.xnnpack.layout import Activation, from_matrix, rechunk, settle, to_matrix
from hiertk.export.xnnpack.operators import Operators
from hiertk.export.xnnpack.rules.elementwise import combine
from hiertk.export.xnnpack.translate import Translator, UnsupportedError, rule

aten = torch.ops.aten


@dataclass(frozen=True)
class Shuffle:
    """A channel shuffle on its way: (N, C, H, W) seen as (N, groups, size, H, W)."""

    images: Activation
    groups: int
    size: int
    is_exchanged: bool = False

    def done(self, on: Operators, shape: tuple[int, ...]) -> Activation:
        """Return it seen as (N, C, H, W) again."""
        if not self.is_exchanged or len(shape) != 4:
            raise UnsupportedError(f"groups of channels seen as {shape}")
        return self.images.map(lambda chunk: self._shuffled(on, chunk))

    def _shuffled(self, on: Operators, chunk: Value) -> Value:
        samples, height, width, _ = chunk.shape
        parts = on.reshape(chunk, (samples, height * width, self.groups, self.size))
        return on.reshape(on.transpose(parts, (0, 1, 3, 2)), chunk.shape)


@rule(aten.transpose_copy.int, aten.transpose.int)
def exchange(t: Translator, value: Shuffle | Value, left: int, right: int) -> Any:
    if isinstance(value, Shuffle) and {left, right} == {1, 2} and not value.is_exchanged:
        return replace(value, is_exchanged=True)
    raise UnsupportedError(f"of dimensions {left} and {right}")


@rule(aten.view_copy.default, aten.view.default, aten.reshape.default, aten._unsafe_view.default)  # noqa: SLF001
def view(t: Translator, value: Activation | Value | Shuffle, shape: Sequence[int]) -> Any:
    if isinstance(value, Value):
        return t.on.reshape(value, _filled(shape, math.prod(value.shape)))
    if isinstance(value, Shuffle):
        return value.done(t.on, tuple(shape))
    samples, channels, height, width = value.shape
    full = _filled(shape, samples * channels * height * width)
    if full == value.shape:
        return value
    if full == (samples, channels) and height == width == 1:
        return to_matrix(t.on, value)
    if len(full) == 5 and full[0] == samples and full[3:] == (height, width):
        return Shuffle(value, full[1], full[2])
    raise UnsupportedError(f"(N, C, H, W) seen as {full}")


@rule(aten.unsqueeze_copy.default, aten.unsqueeze.default)
def unsqueeze(t: Translator, value: Value, dim: int) -> Any:
    """Two of them turn logits or pooled features (N, C) into (N, C, 1, 1)."""
    rank = len(value.shape) + 1
    axis = dim % rank
    shape = (*value.shape[:axis], 1, *value.shape[axis:])
    if rank == 4 and shape[2:] == (1, 1):
        return from_matrix(t.on, t.on.reshape(value, shape[:2]))
    return t.on.reshape(value, shape)


@rule(aten.expand_copy.default, aten.expand.default)
def expand(t: Translator, value: Activation | Value, shape: Sequence[int]) -> Any:
    if isinstance(value, Activation):
        _, _, height, width = shape
        return _spread(t.on, value, height, width)
    return _repeated(t.on, value, tuple(shape))


@rule(aten.ones_like.default)
def ones_like(t: Translator, value: Value, **_: object) -> Value:
    return t.on.graph.constant(np.ones(value.shape, np.float32))


@rule(aten.zeros.default)
def zeros(t: Translator, shape: Sequence[int], **_: object) -> Value:
    return t.on.graph.constant(np.zeros(shape, np.float32))


@rule(aten.cat.default)
def concatenate(t: Translator, values: Sequence[Activation], dim: int = 0) -> Activation:
    if dim % 4 != 1 or not all(isinstance(value, Activation) for value in values):
        raise UnsupportedError(f"along dimension {dim}")
    sizes = values[0].sizes
    held = [rechunk(t.on, value, sizes).chunks for value in values]
    return Activation(tuple(t.on.concatenate(chunks, 3) for chunks in zip(*held, strict=True)))


@rule(aten.slice_copy.Tensor, aten.slice.Tensor)
def cut(
    t: Translator,
    value: Activation,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    stride: int = 1,
) -> Activation:
    """Take some of the channels."""
    if not isinstance(value, Activation) or dim % 4 != 1 or stride != 1:
        raise UnsupportedError(f"along dimension {dim} by {stride}")
    channels = value.shape[1]
    first, last, _ = slice(start, end).indices(channels)
    return value.map(lambda chunk: t.on.part(chunk, 3, first, last - first))


@rule(aten.split_copy.Tensor, aten.split.Tensor)
def split(t: Translator, value: Activation, size: int, dim: int = 0) -> tuple[Activation, ...]:
    """Take the channels apart."""
    channels = value.shape[1] if isinstance(value, Activation) else 0
    return tuple(
        cut(t, value, dim, start, min(start + size, channels)) for start in range(0, channels, size)
    )


def _spread(on: Operators, value: Activation, height: int, width: int) -> Activation:
    """Repeat (N, C, 1, 1) to (N, C, height, width)."""
    if value.shape[2:] == (height, width):
        return value
    zeros = on.graph.constant(np.zeros((1, height, width, 1), np.float32))
    return settle(on, value.map(lambda chunk: on.add(chunk, zeros)))


def _repeated(on: Operators, value: Value, shape: tuple[int, ...]) -> Value:
    if value.shape == shape:
        return value
    ones = on.graph.constant(np.ones(shape, np.float32))
    found = combine(on, on.multiply, value, ones)
    assert isinstance(found, Value)
    return found


def _filled(shape: Sequence[int], count: int) -> tuple[int, ...]:
    """Return a shape with its -1, if there is one, replaced by what is left."""
    known = math.prod(size for size in shape if size != -1)
    return tuple(count // known if size == -1 else size for size in shape)
