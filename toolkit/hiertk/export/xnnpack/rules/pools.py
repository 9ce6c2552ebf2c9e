"""Rules for pooling, over windows and over whole images."""

from collections.abc import Sequence
from typing import Any

import torch

from hiertk.export.xnnpack import windows
from hiertk.export.xnnpack.columns import Window
from hiertk.export.xnnpack.graph import Value
from hiertk.export.xnnpack.layout import Activation, rechunk, settle, to_matrix
from hiertk.export.xnnpack.rules.convolutions import window_of
from hiertk.export.xnnpack.translate import Translator, UnsupportedError, rule

aten = torch.ops.aten


@rule(aten.mean.dim)
def mean(
    t: Translator, value: Activation, dims: Sequence[int], keepdim: bool = False
) -> Activation | Value:
    if not isinstance(value, Activation) or sorted(dim % 4 for dim in dims) != [2, 3]:
        raise UnsupportedError(f"over dimensions {list(dims)}")
    found = value.map(t.on.spatial_mean)
    return settle(t.on, found) if keepdim else to_matrix(t.on, found)


@rule(aten.max_pool2d_with_indices.default)
def max_pool(
    t: Translator, images: Activation, kernel: Sequence[int], stride: Sequence[int] = (),
    padding: Sequence[int] = (0,), dilation: Sequence[int] = (1,), ceil_mode: bool = False,
) -> tuple[Any, ...]:  # fmt: skip
    window = _pool_window(images, kernel, stride, padding, dilation, ceil_mode=ceil_mode)
    found = windows.max_pool(t.on, images, window)
    t.keep(images, found)
    return found, None


@rule(aten.max_pool2d_with_indices_backward.default)
def max_pool_gradient(
    t: Translator, gradient: Activation, images: Activation, kernel: Sequence[int],
    stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], ceil_mode: bool,
    indices: None,
) -> Activation:  # fmt: skip
    window = _pool_window(images, kernel, stride, padding, dilation, ceil_mode=ceil_mode)
    pooled = rechunk(t.on, t.kept[id(images)], images.sizes)
    return windows.max_pool_gradient(
        t.on, images, pooled, rechunk(t.on, gradient, images.sizes), window
    )


@rule(aten.avg_pool2d.default)
def average_pool(
    t: Translator, images: Activation, kernel: Sequence[int], stride: Sequence[int] = (),
    padding: Sequence[int] = (0,), ceil_mode: bool = False, *_: Any,
) -> Activation:  # fmt: skip
    window = _pool_window(images, kernel, stride, padding, (1,), ceil_mode=ceil_mode)
    return windows.average_pool(t.on, images, window)


@rule(aten.avg_pool2d_backward.default)
def average_pool_gradient(
    t: Translator, gradient: Activation, images: Activation, kernel: Sequence[int],
    stride: Sequence[int], padding: Sequence[int], ceil_mode: bool, *rest: Any,
) -> Activation:  # fmt: skip
    window = _pool_window(images, kernel, stride, padding, (1,), ceil_mode=ceil_mode)
    _, _, height, width = images.shape
    changes = rechunk(t.on, gradient, images.sizes)
    return windows.average_pool_gradient(t.on, changes, window, height, width)


def _pool_window(
    images: Activation, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], *, ceil_mode: bool,
) -> Window:  # fmt: skip
    window = window_of(kernel, stride or kernel, padding, dilation, transposed=False)
    if ceil_mode and any(
        (size + 2 * pad - side) % step
        for size, pad, side, step in zip(
            images.shape[2:], window.padding, window.kernel, window.stride, strict=True
        )
    ):
        raise UnsupportedError("with rows or columns that only ceil_mode reaches")
    return window
