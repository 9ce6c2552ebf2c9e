"""What the taps of a sliding window see, laid out for matrix products, and put back from there."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from hiertk.export.xnnpack.graph import Value
from hiertk.export.xnnpack.operators import Operators


@dataclass(frozen=True)
class Window:
    """Kernel, stride and padding, each as (height, width)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    @property
    def taps(self) -> list[tuple[int, int]]:
        """Rows and columns of the kernel."""
        return list(product(range(self.kernel[0]), range(self.kernel[1])))

    @property
    def is_pointwise(self) -> bool:
        """Whether it sees one pixel and visits all."""
        return self.kernel == self.stride == (1, 1) and self.padding == (0, 0)

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of what comes out."""
        sizes = (
            (size + 2 * padding - kernel) // stride + 1
            for size, padding, kernel, stride in zip(
                (height, width), self.padding, self.kernel, self.stride, strict=True
            )
        )
        rows, columns = sizes
        return rows, columns


def shifted_columns(on: Operators, chunk: Value, window: Window, fill: float = 0.0) -> list[Value]:
    """Return (n, H, W, C) padded and shifted by each column of a kernel of stride 1.

    (n, padded H, W', C) each: the rows are still all there.
    """
    top, left = window.padding
    _, columns = window.output(*chunk.shape[1:3])
    padded = on.pad(chunk, (0, top, left, 0), (0, top, left, 0), fill)
    return [on.part(padded, 2, column, columns) for column in range(window.kernel[1])]


def taps_of(on: Operators, chunk: Value, window: Window, fill: float = 0.0) -> list[Value]:
    """Return what each tap of a window sees of (n, H, W, C): (n, H', 1, W', C) each."""
    samples, height, width, channels = chunk.shape
    (down, across), (top, left) = window.stride, window.padding
    rows, columns = window.output(height, width)
    high = _covered(window, 0, rows)
    wide = _covered(window, 1, columns)
    padded = on.pad(
        chunk,
        (0, top, left, 0),
        (0, max(0, high - top - height), max(0, wide - left - width), 0),
        fill,
    )
    padded = on.slice(padded, (0, 0, 0, 0), (samples, high, wide, channels))
    phases = on.reshape(padded, (samples, high // down, down, wide // across, across * channels))
    return [
        on.slice(
            phases,
            (0, row // down, row % down, column // across, (column % across) * channels),
            (samples, rows, 1, columns, channels),
        )
        for row, column in window.taps
    ]


def transposed_columns(on: Operators, chunk: Value, window: Window) -> Value:
    """Return the columns of (n, H, W, C) with pixels last: (kernel size * C, n * H' * W')."""
    samples, height, width, channels = chunk.shape
    (down, across), (top, left) = window.stride, window.padding
    rows, columns = window.output(height, width)
    high, wide = _covered(window, 0, rows), _covered(window, 1, columns)
    turned = on.transpose(chunk, (3, 0, 1, 2))
    padded = on.pad(
        turned,
        (0, 0, top, left),
        (0, 0, max(0, high - top - height), max(0, wide - left - width)),
    )
    padded = on.slice(padded, (0, 0, 0, 0), (channels, samples, high, wide))
    phases = on.reshape(padded, (channels, samples, high // down, down, wide // across, across))
    taps = [
        on.slice(
            phases,
            (0, 0, row // down, row % down, column // across, column % across),
            (channels, samples, rows, 1, columns, 1),
        )
        for row, column in window.taps
    ]
    found = on.concatenate(taps, 0)
    return on.reshape(found, (len(taps) * channels, samples * rows * columns))


def _covered(window: Window, axis: int, outputs: int) -> int:
    """Return how many padded pixels the taps need along an axis, as a multiple of the stride."""
    kernel, stride = window.kernel[axis], window.stride[axis]
    return (outputs + (kernel - 1) // stride) * stride


def interleaved(
    on: Operators, parts: Iterable[Value | None], shape: tuple[int, ...], axis: int
) -> Value | None:
    """Join parts of one shape along an axis, zeros where there is none; None if all are none."""
    joined: Value | None = None
    missing = 0
    for part in parts:
        if part is None:
            missing += 1
            continue
        if joined is None:
            joined = _extended(on, part, axis, before=missing * shape[axis])
        else:
            joined = _extended(on, joined, axis, after=missing * shape[axis])
            joined = on.concatenate([joined, part], axis)
        missing = 0
    if joined is None:
        return None
    return _extended(on, joined, axis, after=missing * shape[axis])


def _extended(on: Operators, value: Value, axis: int, *, before: int = 0, after: int = 0) -> Value:
    ahead, behind = [0] * len(value.shape), [0] * len(value.shape)
    ahead[axis], behind[axis] = before, after
    return on.pad(value, ahead, behind)


def as_rows(on: Operators, chunk: Value) -> Value:
    samples, height, width, channels = chunk.shape
    return on.reshape(chunk, (samples * height * width, channels))
