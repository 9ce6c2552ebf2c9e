"""XNNPACK's operators as functions over values, with the shapes that come out."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from executorch.backends.xnnpack.serialization import xnnpack_graph_schema as schema
from executorch.backends.xnnpack.utils.xnnpack_constants import (
    XNN_FLAG_KEEP_DIMS,
    XNN_FLAG_TRANSPOSE_WEIGHTS,
    XNN_INVALID_VALUE_ID,
)

from hiertk.export.xnnpack.graph import Graph, Shape, Value

_MOST_CONCATENATED = 5
_MANY_ROWS = 1024
_CONCATENATE = {
    2: schema.XNNConcatenate2,
    3: schema.XNNConcatenate3,
    4: schema.XNNConcatenate4,
    5: schema.XNNConcatenate5,
}

Limits = tuple[float, float]


class Operators:
    """The operators that the step is written in. Shapes as in numpy; reductions keep dimensions."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def scalar(self, number: float) -> Value:
        """Return a constant of one element, (1,)."""
        return self.graph.constant(np.array([number], np.float32))

    def add(self, left: Value, right: Value) -> Value:
        return self._binary(schema.XNNAdd, left, right)

    def subtract(self, left: Value, right: Value) -> Value:
        return self._binary(schema.XNNSubtract, left, right)

    def multiply(self, left: Value, right: Value, limits: Limits | None = None) -> Value:
        return self._binary(schema.XNNMultiply, left, right, limits)

    def divide(self, left: Value, right: Value) -> Value:
        return self._binary(schema.XNNDiv, left, right)

    def maximum(self, left: Value, right: Value) -> Value:
        return self._binary(schema.XNNMaximum, left, right)

    def minimum(self, left: Value, right: Value) -> Value:
        return self._binary(schema.XNNMinimum, left, right)

    def scale(self, value: Value, factor: float, limits: Limits | None = None) -> Value:
        return self.multiply(value, self.scalar(factor), limits)

    def shift(self, value: Value, summand: float) -> Value:
        return self.add(value, self.scalar(summand))

    def clamp(self, value: Value, low: float, high: float) -> Value:
        return self._unary(schema.XNNClamp, value, limits=(low, high))

    def negate(self, value: Value) -> Value:
        return self._unary(schema.XNNNegate, value)

    def exp(self, value: Value) -> Value:
        return self._unary(schema.XNNExp, value)

    def log(self, value: Value) -> Value:
        return self._unary(schema.XNNLog, value)

    def sigmoid(self, value: Value) -> Value:
        return self._unary(schema.XNNSigmoid, value)

    def tanh(self, value: Value) -> Value:
        return self._unary(schema.XNNTanh, value)

    def reciprocal_root(self, value: Value) -> Value:
        return self._unary(schema.XNNReciprocalSquareRoot, value)

    def reshape(self, value: Value, shape: Shape) -> Value:
        if shape == value.shape:
            return value
        assert math.prod(shape) == math.prod(value.shape), (value.shape, shape)
        return self._unary(
            schema.XNNStaticReshape, value, shape, num_dims=len(shape), new_shape=list(shape)
        )

    def transpose(self, value: Value, order: Sequence[int]) -> Value:
        shape = tuple(value.shape[axis] for axis in order)
        if list(order) == sorted(order):
            return value
        return self._unary(
            schema.XNNStaticTranspose, value, shape, num_dims=len(order), perm=list(order)
        )

    def slice(self, value: Value, offsets: Sequence[int], sizes: Sequence[int]) -> Value:
        if tuple(sizes) == value.shape:
            return value
        return self._unary(
            schema.XNNStaticSlice,
            value,
            tuple(sizes),
            num_dims=len(offsets),
            offsets=list(offsets),
            sizes=list(sizes),
        )

    def part(self, value: Value, axis: int, start: int, size: int) -> Value:
        """Return a slice along one axis."""
        offsets = [0] * len(value.shape)
        offsets[axis] = start
        sizes = list(value.shape)
        sizes[axis] = size
        return self.slice(value, offsets, sizes)

    def samples(self, value: Value, start: int, size: int, chunk: int) -> Value:
        """Return a slice of the first axis as a chunk."""
        sizes = (size, *value.shape[1:])
        return self.graph.emit(
            schema.XNNStaticSlice,
            [value],
            sizes,
            chunk=chunk,
            input_id=value.id,
            num_dims=len(sizes),
            offsets=[start] + [0] * (len(sizes) - 1),
            sizes=list(sizes),
        )

    def pad(
        self, value: Value, before: Sequence[int], after: Sequence[int], fill: float = 0.0
    ) -> Value:
        if not any(before) and not any(after):
            return value
        shape = tuple(
            low + size + high for low, size, high in zip(before, value.shape, after, strict=True)
        )
        return self._unary(
            schema.XNNStaticConstantPad,
            value,
            shape,
            pre_paddings=list(before),
            post_paddings=list(after),
            padding_value=fill,
        )

    def concatenate(self, values: Sequence[Value], axis: int, chunk: int | None = None) -> Value:
        """Join any number of values along an axis; chunk: what the whole is a chunk of."""
        parts = list(values)
        while len(parts) > 1:
            parts = [
                self._concatenate(parts[start : start + _MOST_CONCATENATED], axis, chunk)
                for start in range(0, len(parts), _MOST_CONCATENATED)
            ]
        return parts[0]

    def total(self, values: Sequence[Value]) -> Value:
        """Add values of one shape."""
        result = values[0]
        for value in values[1:]:
            result = self.add(result, value)
        return result

    def spatial_mean(self, value: Value) -> Value:
        """Average (N, H, W, C) over H and W: (N, 1, 1, C)."""
        samples, _, _, channels = value.shape
        return self._unary(
            schema.XNNGlobalAvgPooling2d, value, (samples, 1, 1, channels), flags=XNN_FLAG_KEEP_DIMS
        )

    def row_sum(self, value: Value) -> Value:
        """Sum (N, C) over N: (1, C). In parts, else each of many values loses to a large sum."""
        rows, columns = value.shape
        parts = _even_parts(rows)
        means = self.spatial_mean(self.reshape(value, (parts, rows // parts, 1, columns)))
        if parts > 1:
            means = self.spatial_mean(self.reshape(means, (1, parts, 1, columns)))
        return self.reshape(self.scale(means, rows), (1, columns))

    def column_sum(self, value: Value) -> Value:
        """Sum (N, C) over C: (N, 1)."""
        rows, columns = value.shape
        mean = self.spatial_mean(self.reshape(value, (rows, columns, 1, 1)))
        return self.reshape(self.scale(mean, columns), (rows, 1))

    def column_maximum(self, value: Value) -> Value:
        """Return the largest of each row of (N, C): (N, 1)."""
        rows, columns = value.shape
        image = self.reshape(value, (rows, columns, 1, 1))
        largest = self._unary(
            schema.XNNMaxPooling2d,
            image,
            (rows, 1, 1, 1),
            padding_top=0, padding_right=0, padding_bottom=0, padding_left=0,
            pooling_height=columns, pooling_width=1, stride_height=1, stride_width=1,
            dilation_height=1, dilation_width=1,
        )  # fmt: skip
        return self.reshape(largest, (rows, 1))

    def linear(self, value: Value, weights: Value, bias: Value | None = None) -> Value:
        """Multiply (..., K) by weights (K, M), and add a bias (M,)."""
        inputs = [value, weights] + ([] if bias is None else [bias])
        return self.graph.emit(
            schema.XNNFullyConnected,
            inputs,
            (*value.shape[:-1], weights.shape[1]),
            input1_id=value.id,
            filter_id=weights.id,
            bias_id=XNN_INVALID_VALUE_ID if bias is None else bias.id,
            flags=XNN_FLAG_TRANSPOSE_WEIGHTS,
        )

    def _binary(
        self, operator: Any, left: Value, right: Value, limits: Limits | None = None
    ) -> Value:
        shape = np.broadcast_shapes(left.shape, right.shape)
        return self.graph.emit(
            operator, [left, right], shape, limits=limits, input1_id=left.id, input2_id=right.id
        )

    def _unary(
        self,
        operator: Any,
        value: Value,
        shape: Shape | None = None,
        limits: Limits | None = None,
        **fields: Any,
    ) -> Value:
        return self.graph.emit(
            operator, [value], shape or value.shape, limits=limits, input_id=value.id, **fields
        )

    def _concatenate(self, values: list[Value], axis: int, chunk: int | None) -> Value:
        if len(values) == 1:
            return values[0]
        shape = list(values[0].shape)
        shape[axis] = sum(value.shape[axis] for value in values)
        identifiers = [value.id for value in values]
        identifiers += [XNN_INVALID_VALUE_ID] * (_MOST_CONCATENATED - len(values))
        fields: dict[str, Any] = {
            f"input{number}_id": identifier for number, identifier in enumerate(identifiers, 1)
        }
        return self.graph.emit(
            _CONCATENATE[len(values)],
            values,
            tuple(shape),
            chunk=chunk,
            axis=axis,
            **fields,
        )


def _even_parts(rows: int) -> int:
    """Return into how many equal parts a sum is split: the divisor below the square root."""
    if rows < _MANY_ROWS:
        return 1
    return next(parts for parts in range(math.isqrt(rows), 0, -1) if rows % parts == 0)
