"""Activation functions and their gradients, without comparisons: XNNPACK has none.

Where a gradient asks on which side of a point a value lies, the difference is multiplied by a
number so large that clamping to 0 and 1 leaves nothing between.
"""

from collections.abc import Callable

from hiertk.export.xnnpack.graph import Value
from hiertk.export.xnnpack.operators import Operators

_STEEP = 1e38

Function = Callable[[Operators, Value], Value]
Gradient = Callable[[Operators, Value, Value], Value]


def step(on: Operators, value: Value) -> Value:
    """Return 1 where a value is above 0, else 0."""
    return on.scale(value, _STEEP, limits=(0.0, 1.0))


def between(on: Operators, value: Value, low: float, high: float) -> Value:
    """Return 1 where a value is between two numbers, else 0."""
    above = step(on, on.shift(value, -low))
    below = step(on, on.shift(on.negate(value), high))
    return on.multiply(above, below)


def hardsigmoid(on: Operators, value: Value) -> Value:
    return on.scale(on.clamp(on.shift(value, 3.0), 0.0, 6.0), 1 / 6)


def hardsigmoid_gradient(on: Operators, gradient: Value, value: Value) -> Value:
    return on.multiply(gradient, on.scale(between(on, value, -3.0, 3.0), 1 / 6))


def hardswish(on: Operators, value: Value) -> Value:
    return on.multiply(value, hardsigmoid(on, value))


def hardswish_gradient(on: Operators, gradient: Value, value: Value) -> Value:
    above = step(on, on.shift(value, -3.0))
    inside = on.subtract(step(on, on.shift(value, 3.0)), above)
    slope = on.shift(on.scale(value, 1 / 3), 0.5)
    return on.multiply(gradient, on.add(on.multiply(inside, slope), above))


def sigmoid_gradient(on: Operators, gradient: Value, result: Value) -> Value:
    rest = on.shift(on.negate(result), 1.0)
    return on.multiply(gradient, on.multiply(result, rest))


def silu(on: Operators, value: Value) -> Value:
    return on.multiply(value, on.sigmoid(value))


def silu_gradient(on: Operators, gradient: Value, value: Value) -> Value:
    share = on.sigmoid(value)
    rest = on.shift(on.negate(share), 1.0)
    slope = on.multiply(share, on.shift(on.multiply(value, rest), 1.0))
    return on.multiply(gradient, slope)
