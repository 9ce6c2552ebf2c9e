"""Rules for operators that work element by element."""

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from hiertk.export.xnnpack import activations
from hiertk.export.xnnpack.graph import Value, not_before
from hiertk.export.xnnpack.layout import Activation, rechunk
from hiertk.export.xnnpack.operators import Operators
from hiertk.export.xnnpack.translate import Translator, UnsupportedError, rule

aten = torch.ops.aten

Operand = Activation | Value | float
Binary = Callable[[Value, Value], Value]


def combine(on: Operators, function: Binary, left: Operand, right: Operand) -> Activation | Value:
    """Apply a function of two values to any mix of activations, values and numbers."""
    if isinstance(left, Activation) and isinstance(right, Activation):
        sizes = max((left, right), key=_pixels).sizes
        pairs = zip(rechunk(on, left, sizes).chunks, rechunk(on, right, sizes).chunks, strict=True)
        return Activation(tuple(function(*pair) for pair in pairs))
    if isinstance(left, Activation):
        other = _beside_activation(on, right)
        return left.map(lambda chunk: function(chunk, other))
    if isinstance(right, Activation):
        other = _beside_activation(on, left)
        return right.map(lambda chunk: function(other, chunk))
    return function(_value(on, left), _value(on, right))


def _combine_saved(
    on: Operators, function: Binary, gradient: Operand, saved: Operand
) -> Activation | Value:
    """Apply a function of a gradient and a value of the forward pass."""
    return combine(
        on, lambda change, value: function(change, not_before(value, change)), gradient, saved
    )


def each(value: Operand, function: Callable[[Value], Value]) -> Activation | Value:
    """Apply a function of one value."""
    if isinstance(value, Activation):
        return value.map(function)
    assert isinstance(value, Value)
    return function(value)


def _pixels(activation: Activation) -> int:
    _, _, height, width = activation.shape
    return height * width


def _value(on: Operators, operand: Operand) -> Value:
    assert not isinstance(operand, Activation)
    return operand if isinstance(operand, Value) else on.scalar(operand)


def _beside_activation(on: Operators, operand: Operand) -> Value:
    """Return a value (C, 1, 1), (1, C, 1, 1) or of one element so that it meets the channels."""
    value = _value(on, operand)
    sizes = [size for size in value.shape if size != 1]
    if not sizes:
        return on.reshape(value, (1,))
    if len(sizes) == 1 and value.shape[-2:] == (1, 1):
        return on.reshape(value, (sizes[0],))
    raise UnsupportedError(f"a tensor of shape {value.shape} beside (N, C, H, W)")


@rule(aten.add.Tensor, aten.add.Scalar)
def add(t: Translator, left: Operand, right: Operand, alpha: float = 1) -> Any:
    if alpha != 1:
        right = multiply(t, right, alpha)
    return combine(t.on, t.on.add, left, right)


@rule(aten.sub.Tensor, aten.sub.Scalar)
def subtract(t: Translator, left: Operand, right: Operand, alpha: float = 1) -> Any:
    if alpha != 1:
        right = multiply(t, right, alpha)
    return combine(t.on, t.on.subtract, left, right)


@rule(aten.mul.Tensor, aten.mul.Scalar)
def multiply(t: Translator, left: Operand, right: Operand) -> Any:
    return combine(t.on, t.on.multiply, left, right)


@rule(aten.div.Tensor, aten.div.Scalar)
def divide(t: Translator, left: Operand, right: Operand) -> Any:
    if isinstance(right, int | float):
        return combine(t.on, t.on.multiply, left, 1 / right)
    return combine(t.on, t.on.divide, left, right)


@rule(aten.neg.default)
def negate(t: Translator, value: Operand) -> Any:
    return each(value, t.on.negate)


@rule(aten.clone.default, aten.alias_copy.default, aten.detach.default, aten.alias.default)
def clone(_: Translator, value: Operand, memory_format: object = None) -> Any:
    return value


@rule(aten.empty_like.default)
def empty_like(_: Translator, value: Operand, **__: object) -> Any:
    return value  # only ever filled


@rule(aten.fill.Scalar)
def filled(_: Translator, value: Operand, number: float) -> float:
    return number


@rule(operator.getitem)
def item(_: Translator, values: tuple[Any, ...], index: int) -> Any:
    return values[index]


@rule(aten.relu.default)
def relu(t: Translator, value: Operand) -> Any:
    return each(value, lambda chunk: t.on.clamp(chunk, 0.0, float("inf")))


@rule(aten.threshold_backward.default)
def relu_gradient(t: Translator, gradient: Operand, result: Operand, threshold: float) -> Any:
    if threshold != 0:
        raise UnsupportedError(f"a threshold of {threshold}")

    def masked(change: Value, chunk: Value) -> Value:
        return t.on.multiply(change, activations.step(t.on, chunk))

    return _combine_saved(t.on, masked, gradient, result)


@rule(aten.hardtanh.default)
def hardtanh(t: Translator, value: Operand, low: float = -1, high: float = 1) -> Any:
    return each(value, lambda chunk: t.on.clamp(chunk, low, high))


@rule(aten.hardtanh_backward.default)
def hardtanh_gradient(
    t: Translator, gradient: Operand, value: Operand, low: float, high: float
) -> Any:
    def masked(change: Value, chunk: Value) -> Value:
        return t.on.multiply(change, activations.between(t.on, chunk, low, high))

    return _combine_saved(t.on, masked, gradient, value)


@rule(aten.sigmoid.default)
def sigmoid(t: Translator, value: Operand) -> Any:
    return each(value, t.on.sigmoid)


@rule(aten.sqrt.default)
def root(t: Translator, value: Operand) -> Any:
    return each(value, lambda chunk: t.on.multiply(chunk, t.on.reciprocal_root(chunk)))


def _enter(forward: Any, function: activations.Function) -> None:
    @rule(forward)
    def apply(t: Translator, value: Operand) -> Any:
        return each(value, lambda chunk: function(t.on, chunk))


def _enter_gradient(backward: Any, function: activations.Gradient) -> None:
    @rule(backward)
    def apply(t: Translator, gradient: Operand, value: Operand) -> Any:
        return _combine_saved(t.on, partial(function, t.on), gradient, value)


_enter(aten.hardswish.default, activations.hardswish)
_enter(aten.hardsigmoid.default, activations.hardsigmoid)
_enter(aten.silu.default, activations.silu)
_enter_gradient(aten.hardswish_backward.default, activations.hardswish_gradient)
_enter_gradient(aten.hardsigmoid_backward.default, activations.hardsigmoid_gradient)
_enter_gradient(aten.sigmoid_backward.default, activations.sigmoid_gradient)
_enter_gradient(aten.silu_backward.default, activations.silu_gradient)
