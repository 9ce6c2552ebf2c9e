"""Rules for matrix products, and for the loss: cross entropy over the logits (N, slots)."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from hiertk.export.xnnpack.graph import Value
from hiertk.export.xnnpack.layout import Activation
from hiertk.export.xnnpack.normalization import channel_mean
from hiertk.export.xnnpack.operators import Operators
from hiertk.export.xnnpack.translate import Translator, UnsupportedError, rule

aten = torch.ops.aten


@rule(aten.t_copy.default, aten.t.default)
def transpose(t: Translator, value: Value) -> Value:
    return t.on.transpose(value, (1, 0)) if len(value.shape) == 2 else value


@rule(aten.mm.default)
def product(t: Translator, left: Value, right: Value) -> Value:
    return t.on.linear(left, right)


@rule(aten.addmm.default)
def affine(t: Translator, bias: Value, left: Value, right: Value) -> Value:
    return t.on.linear(left, right, bias)


@rule(aten._log_softmax.default)  # noqa: SLF001  # the operator's own name
def log_softmax(t: Translator, logits: Value, dim: int, half_to_float: bool) -> Value:
    if dim not in (1, -1):
        raise UnsupportedError(f"over dimension {dim}")
    on = t.on
    below = on.subtract(logits, on.column_maximum(logits))
    return on.subtract(below, on.log(on.column_sum(on.exp(below))))


@rule(aten._log_softmax_backward_data.default)  # noqa: SLF001
def log_softmax_gradient(
    t: Translator, gradient: Value, result: Value, dim: int, dtype: torch.dtype
) -> Value:
    on = t.on
    rows, columns = result.shape
    whole = _whole(gradient, rows, columns)
    return on.subtract(whole, on.multiply(on.exp(result), on.column_sum(whole)))


@rule(aten.sum.default)
def total(t: Translator, value: Value) -> Value:
    flat = t.on.reshape(value, (math.prod(value.shape), 1))
    return t.on.reshape(t.on.row_sum(flat), (1,))


@rule(aten.sum.dim_IntList)
def total_over(
    t: Translator, value: Activation | Value, dims: Sequence[int], keepdim: bool = False
) -> Any:
    if isinstance(value, Activation):
        return _total_of_activation(t.on, value, dims, keepdim=keepdim)
    if len(value.shape) != 2 or [dim % 2 for dim in dims] != [0]:
        raise UnsupportedError(f"the sum of {value.shape} over {list(dims)}")
    found = t.on.row_sum(value)
    return found if keepdim else t.on.reshape(found, (value.shape[1],))


def _total_of_activation(
    on: Operators, value: Activation, dims: Sequence[int], *, keepdim: bool
) -> Any:
    samples, channels, height, width = value.shape
    axes = sorted(dim % 4 for dim in dims)
    if axes == [0, 2, 3]:
        found = on.scale(channel_mean(on, value), samples * height * width)
        return on.reshape(found, (1, channels, 1, 1) if keepdim else (channels,))
    if axes == [2, 3] and keepdim:
        return value.map(lambda chunk: on.scale(on.spatial_mean(chunk), height * width))
    raise UnsupportedError(f"the sum of (N, C, H, W) over {list(dims)}")


def _whole(value: Value, rows: int, columns: int) -> Value:
    if value.shape == (rows, columns):
        return value
    raise UnsupportedError(f"a gradient of shape {value.shape} for logits ({rows}, {columns})")
