"""Rules for convolutions, in groups too."""

from collections.abc import Sequence
from typing import Any

import torch

from hiertk.export.xnnpack import normalization, windows
from hiertk.export.xnnpack.columns import Window
from hiertk.export.xnnpack.convolution import Convolution
from hiertk.export.xnnpack.graph import Value
from hiertk.export.xnnpack.layout import Activation, rechunk
from hiertk.export.xnnpack.operators import Operators
from hiertk.export.xnnpack.translate import Translator, UnsupportedError, rule

aten = torch.ops.aten


@rule(aten.convolution.default)
def convolution(
    t: Translator, images: Activation, weights: Value, bias: Value | None,
    stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int],
    transposed: bool, output_padding: Sequence[int], groups: int,
) -> Activation:  # fmt: skip
    window = window_of(weights.shape[2:], stride, padding, dilation, transposed=transposed)
    parts = _groups(t.on, images, weights, window, groups)
    if len(parts) == 1:
        return parts[0][0].forward(parts[0][1], bias)
    found = [layer.forward(image, None) for layer, image in parts]
    joined = _join_channels(t.on, found)
    return joined if bias is None else joined.map(lambda chunk: t.on.add(chunk, bias))


@rule(aten.convolution_backward.default)
def convolution_gradient(
    t: Translator, gradient: Activation, images: Activation, weights: Value,
    bias_sizes: Sequence[int] | None, stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], transposed: bool, output_padding: Sequence[int], groups: int,
    wanted: Sequence[bool],
) -> tuple[Any, ...]:  # fmt: skip
    on = t.on
    window = window_of(weights.shape[2:], stride, padding, dilation, transposed=transposed)
    _, _, height, width = images.shape
    parts = _groups(on, images, weights, window, groups)
    outputs = gradient.shape[1] // len(parts)
    changes = [
        gradient if len(parts) == 1 else _channels(on, gradient, index * outputs, outputs)
        for index in range(len(parts))
    ]
    # A layer's output may be chunked otherwise than its input: the input's chunks decide.
    pairs = [
        (layer, image, rechunk(on, change, image.sizes))
        for (layer, image), change in zip(parts, changes, strict=True)
    ]
    inputs = weight = bias = None
    if wanted[0]:
        found = [layer.input_gradient(change, height, width) for layer, _, change in pairs]
        inputs = found[0] if len(found) == 1 else _join_channels(on, found)
    if wanted[1]:
        weight = on.concatenate(
            [layer.weight_gradient(image, change) for layer, image, change in pairs], 0
        )
    if wanted[2]:
        total = normalization.channel_mean(on, gradient)
        samples, all_outputs, rows, columns = gradient.shape
        bias = on.reshape(on.scale(total, samples * rows * columns), (all_outputs,))
    return inputs, weight, bias


def window_of(
    kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], *, transposed: bool,
) -> Window:  # fmt: skip
    """Return ATen's arguments as a window. Raises UnsupportedError."""
    if transposed:
        raise UnsupportedError("transposed")
    if set(dilation) != {1}:
        raise UnsupportedError(f"with dilation {list(dilation)}")
    return Window(_pair(kernel), _pair(stride), _pair(padding))


def _groups(
    on: Operators, images: Activation, weights: Value, window: Window, groups: int
) -> list[tuple[Convolution | windows.Depthwise, Activation]]:
    """Return the convolution of each group, with the channels that it sees."""
    channels = images.shape[1]
    if groups == 1:
        return [(Convolution(on, weights, window), images)]
    if groups == channels == weights.shape[0]:
        return [(windows.Depthwise(on, weights, window), images)]
    seen, made = channels // groups, weights.shape[0] // groups
    return [
        (
            Convolution(on, on.part(weights, 0, index * made, made), window),
            _channels(on, images, index * seen, seen),
        )
        for index in range(groups)
    ]


def _channels(on: Operators, images: Activation, start: int, count: int) -> Activation:
    return images.map(lambda chunk: on.part(chunk, 3, start, count))


def _join_channels(on: Operators, parts: Sequence[Activation]) -> Activation:
    rows = zip(*(part.chunks for part in parts), strict=True)
    return Activation(tuple(on.concatenate(chunks, 3) for chunks in rows))


def _pair(sizes: Sequence[int]) -> tuple[int, int]:
    return (sizes[0], sizes[-1])
