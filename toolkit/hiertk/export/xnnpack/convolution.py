"""Convolutions and their gradients as large matrix products.

XNNPACK multiplies by weights that change from step to step only as matrices, so that a
convolution becomes one product per chunk. For stride 1 the columns of one kernel row go into the
product and its results for all rows are added up afterwards: a third of the copies of the usual
im2col for 3x3. Else the usual columns are made.
"""

import math
from itertools import product

from hiertk.export.xnnpack.columns import (
    Window,
    as_rows,
    interleaved,
    shifted_columns,
    taps_of,
    transposed_columns,
)
from hiertk.export.xnnpack.graph import Value
from hiertk.export.xnnpack.layout import Activation, settle, with_gradient
from hiertk.export.xnnpack.operators import Operators

_FEW_CHANNELS = 8  # below, copies of one pixel's channels are too short to be fast


class Convolution:
    """One convolution (groups 1, dilation 1) of weights (M, C, kernel height, kernel width)."""

    def __init__(self, operators: Operators, weights: Value, window: Window) -> None:
        self._on = operators
        self._weights = weights
        self._window = window

    def forward(self, images: Activation, bias: Value | None) -> Activation:
        """Return (N, M, H', W')."""
        window = self._window
        _, channels, _, _ = images.shape
        if window.is_pointwise:
            matrix = self._matrix((1, 2, 3, 0))
            return images.map(lambda chunk: self._on.linear(chunk, matrix, bias))
        if window.stride == (1, 1) and channels >= _FEW_CHANNELS:
            return rows_product(self._on, images, self._row_matrix(), window, bias)
        matrix = self._matrix((2, 3, 1, 0))
        return settle(
            self._on, images.map(lambda chunk: self._columns_product(chunk, matrix, bias))
        )

    def weight_gradient(self, images: Activation, gradient: Activation) -> Value:
        """Return (M, C, kernel height, kernel width)."""
        channels, outputs = images.shape[1], gradient.shape[1]
        height, width = self._window.kernel
        both = list(with_gradient(images, gradient))
        if self._window.is_pointwise:
            parts = [self._pointwise_product(image, change) for image, change in both]
            return self._on.reshape(self._on.total(parts), (outputs, channels, 1, 1))
        if self._window.stride == (1, 1) and channels >= _FEW_CHANNELS:
            parts = [self._rows_gradient(image, change) for image, change in both]
            total = self._on.reshape(self._on.total(parts), (width, channels, height, outputs))
            return self._on.transpose(total, (3, 1, 2, 0))
        parts = [self._columns_gradient(image, change) for image, change in both]
        total = self._on.reshape(self._on.total(parts), (height, width, channels, outputs))
        return self._on.transpose(total, (3, 2, 0, 1))

    def input_gradient(self, gradient: Activation, height: int, width: int) -> Activation:
        """Return (N, C, height, width), height and width those of the images."""
        window = self._window
        if window.is_pointwise:
            matrix = self._on.reshape(self._weights, self._weights.shape[:2])
            return gradient.map(lambda chunk: self._on.linear(chunk, matrix))
        if window.stride == (1, 1):
            turned = self._turned_row_matrix()
            full = tuple(k - 1 - p for k, p in zip(window.kernel, window.padding, strict=True))
            around = Window(window.kernel, (1, 1), (full[0], full[1]))
            return rows_product(self._on, gradient, turned, around, None)
        return gradient.map(lambda chunk: self._spread(chunk, height, width))

    def _matrix(self, order: tuple[int, int, int, int]) -> Value:
        """Return the weights in an order of axes as (all but the last, the last)."""
        ordered = self._on.transpose(self._weights, order)
        return self._on.reshape(ordered, (math.prod(ordered.shape[:3]), ordered.shape[3]))

    def _row_matrix(self) -> Value:
        outputs, channels, height, width = self._weights.shape
        ordered = self._on.transpose(self._weights, (3, 1, 2, 0))
        return self._on.reshape(ordered, (width * channels, height * outputs))

    def _turned_row_matrix(self) -> Value:
        """Return the weights for the way back: kernel turned by half a turn, channels exchanged."""
        outputs, channels, height, width = self._weights.shape
        ordered = self._on.transpose(self._weights, (3, 0, 2, 1))
        for axis in (0, 2):
            ordered = _reversed(self._on, ordered, axis)
        return self._on.reshape(ordered, (width * outputs, height * channels))

    def _columns_product(self, chunk: Value, matrix: Value, bias: Value | None) -> Value:
        rows, columns = self._window.output(chunk.shape[1], chunk.shape[2])
        if chunk.shape[3] < _FEW_CHANNELS:
            first = transposed_columns(self._on, chunk, self._window)
            patches = self._on.transpose(first, (1, 0))
        else:
            taps = taps_of(self._on, chunk, self._window)
            patches = self._on.concatenate(taps, 4)
        found = self._on.linear(patches, matrix, bias)
        return self._on.reshape(found, (chunk.shape[0], rows, columns, matrix.shape[1]))

    def _pointwise_product(self, image: Value, change: Value) -> Value:
        changes = self._on.transpose(as_rows(self._on, change), (1, 0))
        return self._on.linear(changes, as_rows(self._on, image))

    def _rows_gradient(self, image: Value, change: Value) -> Value:
        """Return the gradient as (kernel width * C, kernel height * M)."""
        samples, _, width, _ = change.shape
        height, columns = self._window.kernel
        top, left = self._window.padding
        turned = self._on.transpose(image, (3, 0, 1, 2))
        padded = self._on.pad(turned, (0, 0, top, left), (0, 0, top, left))
        rows = padded.shape[2]
        shifted = [self._on.part(padded, 3, column, width) for column in range(columns)]
        patches = self._on.concatenate(shifted, 0)
        patches = self._on.reshape(patches, (patches.shape[0], samples * rows * width))
        changes = [
            self._on.pad(change, (0, row, 0, 0), (0, height - 1 - row, 0, 0))
            for row in range(height)
        ]
        return self._on.linear(patches, as_rows(self._on, self._on.concatenate(changes, 3)))

    def _columns_gradient(self, image: Value, change: Value) -> Value:
        """Return the gradient as (kernel height * kernel width * C, M)."""
        patches = transposed_columns(self._on, image, self._window)
        return self._on.linear(patches, as_rows(self._on, change))

    def _spread(self, change: Value, height: int, width: int) -> Value:
        """Return the input's gradient for strides: each phase of the stride is a product."""
        on, window = self._on, self._window
        samples = change.shape[0]
        (down, across), (top, left) = window.stride, window.padding
        rows = -(-(height + 2 * top) // down)
        columns = -(-(width + 2 * left) // across)
        channels = self._weights.shape[1]
        lines = []
        for phase in range(down):
            parts = [
                self._phase_product(change, (phase, other), rows, columns)
                for other in range(across)
            ]
            lines.append(interleaved(on, parts, (samples, rows, 1, columns, channels), axis=4))
        whole = (samples, rows, 1, columns, across * channels)
        joined = interleaved(on, lines, whole, axis=2)
        assert joined is not None  # a kernel has taps
        full = on.reshape(joined, (samples, rows * down, columns * across, channels))
        return on.slice(full, (0, top, left, 0), (samples, height, width, channels))

    def _phase_product(
        self, change: Value, phase: tuple[int, int], rows: int, columns: int
    ) -> Value | None:
        """Return (n, rows, 1, columns, C) of one phase, None where no tap falls."""
        on = self._on
        (height, width), (down, across) = self._window.kernel, self._window.stride
        vertical = list(range(phase[0], height, down))
        horizontal = list(range(phase[1], width, across))
        if not vertical or not horizontal:
            return None
        samples, given, wide, outputs = change.shape
        above, before = len(vertical) - 1, len(horizontal) - 1
        padded = on.pad(
            change,
            (0, above, before, 0),
            (0, max(0, rows - given), max(0, columns - wide), 0),
        )
        shifted, weights = [], []
        for (down_by, row), (right_by, column) in product(
            enumerate(vertical), enumerate(horizontal)
        ):
            offsets = (0, above - down_by, before - right_by, 0)
            shifted.append(on.slice(padded, offsets, (samples, rows, columns, outputs)))
            weights.append(self._tap(row, column))
        found = on.linear(on.concatenate(shifted, 3), on.concatenate(weights, 0))
        return on.reshape(found, (samples, rows, 1, columns, found.shape[3]))

    def _tap(self, row: int, column: int) -> Value:
        """Return one tap's weights, (M, C)."""
        outputs, channels, _, _ = self._weights.shape
        found = self._on.slice(self._weights, (0, 0, row, column), (outputs, channels, 1, 1))
        return self._on.reshape(found, (outputs, channels))


def rows_product(
    on: Operators, images: Activation, matrix: Value, window: Window, bias: Value | None
) -> Activation:
    """Convolve at stride 1; matrix: (kernel width * C, kernel height * M)."""
    height = window.kernel[0]
    outputs = matrix.shape[1] // height

    def convolved(chunk: Value) -> Value:
        samples, rows, columns, _ = chunk.shape
        high, wide = window.output(rows, columns)
        rowwise = on.linear(on.concatenate(shifted_columns(on, chunk, window), 3), matrix)
        parts = [
            on.slice(rowwise, (0, row, 0, row * outputs), (samples, high, wide, outputs))
            for row in range(height)
        ]
        found = on.total(parts)
        return found if bias is None else on.add(found, bias)

    return settle(on, images.map(convolved))


def _reversed(on: Operators, value: Value, axis: int) -> Value:
    size = value.shape[axis]
    return on.concatenate([on.part(value, axis, index, 1) for index in reversed(range(size))], axis)
