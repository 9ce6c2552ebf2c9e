"""Batch and group normalization, training and inference form, from means and differences.

What the backward pass needs of the forward pass is kept: the centered values, and the reciprocal
of the standard deviation.
"""

from dataclasses import dataclass

import numpy as np

from hiertk.export.xnnpack.columns import as_rows
from hiertk.export.xnnpack.graph import Value
from hiertk.export.xnnpack.layout import Activation, pairs
from hiertk.export.xnnpack.operators import Operators


@dataclass(frozen=True)
class Centered:
    """Values minus their mean, and per channel (or sample and channel) what scales them to 1."""

    values: Activation
    scales: tuple[Value, ...]


@dataclass(frozen=True)
class BatchMoments:
    """Mean and variance (biased) over the batch, (C,) each."""

    mean: Value
    variance: Value
    count: int


def batch_normalize(
    on: Operators, images: Activation, weight: Value, bias: Value, eps: float
) -> tuple[Activation, Centered, BatchMoments]:
    """Normalize by the batch's own moments."""
    samples, channels, height, width = images.shape
    mean = channel_mean(on, images)
    centered = images.map(lambda chunk: on.subtract(chunk, mean))
    variance = channel_mean(on, centered.map(lambda chunk: on.multiply(chunk, chunk)))
    scale = on.reciprocal_root(on.shift(variance, eps))
    factor = on.multiply(scale, weight)
    result = centered.map(lambda chunk: on.add(on.multiply(chunk, factor), bias))
    moments = BatchMoments(
        on.reshape(mean, (channels,)), on.reshape(variance, (channels,)), samples * height * width
    )
    return result, Centered(centered, (scale,) * len(images.chunks)), moments


def batch_gradients(
    on: Operators, gradient: Activation, forward: Centered, weight: Value
) -> tuple[Activation, Value, Value]:
    """Return the gradients of images, weight (C,) and bias (C,)."""
    channels = gradient.shape[1]
    scale = forward.scales[0]
    mean = channel_mean(on, gradient)
    products = tuple(on.multiply(*pair) for pair in pairs(gradient, forward.values))
    slope = channel_mean(on, Activation(products))
    along = on.multiply(slope, on.multiply(scale, scale))
    factor = on.multiply(scale, weight)

    def changed(change: Value, value: Value) -> Value:
        rest = on.subtract(on.subtract(change, mean), on.multiply(value, along))
        return on.multiply(rest, factor)

    inputs = Activation(tuple(changed(*pair) for pair in pairs(gradient, forward.values)))
    samples, _, height, width = gradient.shape
    count = samples * height * width
    weights = on.scale(on.multiply(slope, scale), count)
    biases = on.scale(mean, count)
    return inputs, on.reshape(weights, (channels,)), on.reshape(biases, (channels,))


def fixed_normalize(
    on: Operators,
    images: Activation,
    moments: tuple[Value, Value],
    affine: tuple[Value, Value],
    eps: float,
) -> Activation:
    """Normalize by given mean and variance, then by weight and bias, (C,) each."""
    mean, variance = moments
    weight, bias = affine
    scale = on.multiply(on.reciprocal_root(on.shift(variance, eps)), weight)
    shift = on.subtract(bias, on.multiply(mean, scale))
    return images.map(lambda chunk: on.add(on.multiply(chunk, scale), shift))


def moved(on: Operators, old: Value, new: Value, momentum: float) -> Value:
    """Return a running statistic after a step."""
    return on.add(on.scale(old, 1 - momentum), on.scale(new, momentum))


def group_normalize(
    on: Operators,
    images: Activation,
    affine: tuple[Value, Value],
    *,
    groups: int,
    eps: float,
) -> tuple[Activation, Centered]:
    """Normalize each sample's groups of channels by their own moments; weight, bias: (C,)."""
    weight, bias = affine
    centered, scales, results = [], [], []
    for chunk in images.chunks:
        rest = on.subtract(chunk, _group_mean(on, chunk, groups))
        variance = _group_mean(on, on.multiply(rest, rest), groups)
        scale = on.reciprocal_root(on.shift(variance, eps))
        centered.append(rest)
        scales.append(scale)
        results.append(on.add(on.multiply(rest, on.multiply(scale, weight)), bias))
    return Activation(tuple(results)), Centered(Activation(tuple(centered)), tuple(scales))


def group_gradients(
    on: Operators, gradient: Activation, forward: Centered, groups: int, weight: Value
) -> tuple[Activation, Value, Value]:
    """Return the gradients of images, weight (C,) and bias (C,)."""
    inputs, weights, biases = [], [], []
    parts = zip(gradient.chunks, forward.values.chunks, forward.scales, strict=True)
    for change, centered, scale in parts:
        value = on.multiply(centered, scale)
        scaled = on.multiply(change, weight)
        mean = _group_mean(on, scaled, groups)
        along = _group_mean(on, on.multiply(scaled, value), groups)
        rest = on.subtract(on.subtract(scaled, mean), on.multiply(value, along))
        inputs.append(on.multiply(rest, scale))
        weights.append(on.row_sum(as_rows(on, on.multiply(change, value))))
        biases.append(on.row_sum(as_rows(on, change)))
    channels = (gradient.shape[1],)
    return (
        Activation(tuple(inputs)),
        on.reshape(on.total(weights), channels),
        on.reshape(on.total(biases), channels),
    )


def channel_mean(on: Operators, images: Activation) -> Value:
    """Average over samples and pixels: (1, C)."""
    samples, _, height, width = images.shape
    sums = [on.row_sum(as_rows(on, chunk)) for chunk in images.chunks]
    return on.scale(on.total(sums), 1 / (samples * height * width))


def _group_mean(on: Operators, chunk: Value, groups: int) -> Value:
    """Average over pixels and each group's channels: (n, 1, 1, C), equal within a group."""
    samples, _, _, channels = chunk.shape
    size = channels // groups
    per_channel = on.reshape(on.spatial_mean(chunk), (samples * groups, size, 1, 1))
    mean = on.reshape(on.spatial_mean(per_channel), (samples, groups, 1))
    ones = on.graph.constant(np.ones((1, 1, size), np.float32))
    return on.reshape(on.multiply(mean, ones), (samples, 1, 1, channels))
