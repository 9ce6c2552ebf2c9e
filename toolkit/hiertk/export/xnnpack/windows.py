"""Depthwise convolution and pooling: each pixel of a channel sees only its neighbors."""

from collections.abc import Mapping
from itertools import product

from executorch.backends.xnnpack.serialization import xnnpack_graph_schema as schema

from hiertk.export.xnnpack.activations import step
from hiertk.export.xnnpack.columns import Window, as_rows, interleaved, shifted_columns, taps_of
from hiertk.export.xnnpack.graph import Value, not_before
from hiertk.export.xnnpack.layout import Activation, settle, with_gradient
from hiertk.export.xnnpack.operators import Operators

Tap = tuple[int, int]


class Depthwise:
    """A convolution of each channel by itself; weights (C, 1, kernel height, kernel width)."""

    def __init__(self, operators: Operators, weights: Value, window: Window) -> None:
        self._on = operators
        self._window = window
        channels, _, height, width = weights.shape
        turned = operators.transpose(weights, (2, 3, 1, 0))
        rows = operators.reshape(turned, (height * width, channels))
        self._taps = [
            operators.reshape(operators.part(rows, 0, index, 1), (1, 1, 1, channels))
            for index in range(height * width)
        ]

    def forward(self, images: Activation, bias: Value | None) -> Activation:
        """Return (N, C, H', W')."""
        on = self._on

        def convolved(chunk: Value) -> Value:
            seen = _flat_taps(on, chunk, self._window)
            products = [on.multiply(*pair) for pair in zip(seen, self._taps, strict=True)]
            found = on.total(products)
            return found if bias is None else on.add(found, bias)

        return settle(on, images.map(convolved))

    def weight_gradient(self, images: Activation, gradient: Activation) -> Value:
        """Return (C, 1, kernel height, kernel width)."""
        on = self._on
        height, width = self._window.kernel
        channels = images.shape[1]
        parts = []
        for image, change in with_gradient(images, gradient):
            seen = _flat_taps(on, image, self._window)
            sums = [on.row_sum(as_rows(on, on.multiply(tap, change))) for tap in seen]
            parts.append(on.concatenate(sums, 0))
        total = on.reshape(on.total(parts), (height, width, 1, channels))
        return on.transpose(total, (3, 2, 0, 1))

    def input_gradient(self, gradient: Activation, height: int, width: int) -> Activation:
        """Return (N, C, height, width)."""

        def spread(change: Value) -> Value:
            parts = {
                tap: self._on.multiply(change, weights)
                for tap, weights in zip(self._window.taps, self._taps, strict=True)
            }
            return scatter(self._on, parts, self._window, height, width)

        return gradient.map(spread)


def max_pool(on: Operators, images: Activation, window: Window) -> Activation:
    """Return the largest value of each window."""
    (top, left), (high, wide), (down, across) = window.padding, window.kernel, window.stride

    def pooled(chunk: Value) -> Value:
        samples, height, width, channels = chunk.shape
        rows, columns = window.output(height, width)
        return on.graph.emit(
            schema.XNNMaxPooling2d,
            [chunk],
            (samples, rows, columns, channels),
            padding_top=top, padding_right=left, padding_bottom=top, padding_left=left,
            pooling_height=high, pooling_width=wide, stride_height=down, stride_width=across,
            dilation_height=1, dilation_width=1, input_id=chunk.id,
        )  # fmt: skip

    return settle(on, images.map(pooled))


def max_pool_gradient(
    on: Operators, images: Activation, pooled: Activation, gradient: Activation, window: Window
) -> Activation:
    """Give each window's gradient to its first largest value, as PyTorch does."""
    _, _, height, width = images.shape

    def spread(image: Value, largest: Value, change: Value) -> Value:
        image, largest = not_before(image, change), not_before(largest, change)
        left = None
        parts = {}
        seen = _flat_taps(on, image, window, fill=-3e38)
        for tap, value in zip(window.taps, seen, strict=True):
            below = step(on, on.subtract(largest, value))
            hit = on.shift(on.negate(below), 1.0)
            if left is not None:
                hit = on.multiply(hit, left)
            left = on.subtract(left, hit) if left is not None else below
            parts[tap] = on.multiply(change, hit)
        return scatter(on, parts, window, height, width)

    return Activation(
        tuple(
            spread(*parts)
            for parts in zip(images.chunks, pooled.chunks, gradient.chunks, strict=True)
        )
    )


def average_pool(on: Operators, images: Activation, window: Window) -> Activation:
    """Return the mean of each window, padding counted."""
    share = 1 / len(window.taps)
    return settle(
        on, images.map(lambda chunk: on.scale(on.total(_flat_taps(on, chunk, window)), share))
    )


def average_pool_gradient(
    on: Operators, gradient: Activation, window: Window, height: int, width: int
) -> Activation:
    """Give each pixel of a window its share."""
    share = 1 / len(window.taps)

    def spread(change: Value) -> Value:
        part = on.scale(change, share)
        return scatter(on, dict.fromkeys(window.taps, part), window, height, width)

    return gradient.map(spread)


def scatter(
    on: Operators, parts: Mapping[Tap, Value], window: Window, height: int, width: int
) -> Value:
    """Add up, for each pixel of (n, height, width, C), what the taps that saw it give back.

    parts: (n, H', W', C) by tap.
    """
    samples, _, _, channels = next(iter(parts.values())).shape
    (down, across), (top, left) = window.stride, window.padding
    rows = -(-(height + 2 * top) // down)
    columns = -(-(width + 2 * left) // across)

    def phase_sum(phase: Tap) -> Value | None:
        placed = [
            _placed(on, part, (tap[0] // down, tap[1] // across), rows, columns)
            for tap, part in parts.items()
            if (tap[0] % down, tap[1] % across) == phase
        ]
        if not placed:
            return None
        return on.reshape(on.total(placed), (samples, rows, 1, columns, channels))

    lines = [
        interleaved(
            on,
            [phase_sum((row, column)) for column in range(across)],
            (samples, rows, 1, columns, channels),
            axis=4,
        )
        for row in range(down)
    ]
    joined = interleaved(on, lines, (samples, rows, 1, columns, across * channels), axis=2)
    assert joined is not None  # a window has taps
    full = on.reshape(joined, (samples, rows * down, columns * across, channels))
    return on.slice(full, (0, top, left, 0), (samples, height, width, channels))


def _placed(on: Operators, part: Value, at: Tap, rows: int, columns: int) -> Value:
    """Return a part at a row and a column of an image of zeros."""
    samples, high, wide, channels = part.shape
    below, behind = rows - at[0] - high, columns - at[1] - wide
    found = on.pad(part, (0, at[0], at[1], 0), (0, max(0, below), max(0, behind), 0))
    return on.slice(found, (0, 0, 0, 0), (samples, rows, columns, channels))


def _flat_taps(on: Operators, chunk: Value, window: Window, fill: float = 0.0) -> list[Value]:
    """Return what each tap sees, (n, H', W', C) each."""
    if window.stride == (1, 1):
        return _unstrided_taps(on, chunk, window, fill)
    found = []
    for tap in taps_of(on, chunk, window, fill):
        samples, rows, _, columns, channels = tap.shape
        found.append(on.reshape(tap, (samples, rows, columns, channels)))
    return found


def _unstrided_taps(on: Operators, chunk: Value, window: Window, fill: float) -> list[Value]:
    samples, height, width, channels = chunk.shape
    rows, columns = window.output(height, width)
    shifted = shifted_columns(on, chunk, window, fill)
    return [
        on.slice(shifted[column], (0, row, 0, 0), (samples, rows, columns, channels))
        for row, column in product(range(window.kernel[0]), range(window.kernel[1]))
    ]
