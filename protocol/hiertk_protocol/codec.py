"""The feature codec: affine quantization to 8 or 4 bits per channel, packing, zstd.

Defined once, here, for every language; `protocol/golden/` holds vectors that each must reproduce.
All arithmetic is IEEE float32 unless stated, rounding is half to even:

    qmax       = 2^bits - 1
    low, high  = min(0, min of channel), max(0, max of channel)
    scale      = float32(max((high - low) / qmax, 2^-126))            quotient in float64
    zero_point = clamp(round(-low / scale), 0, qmax)                  quotient in float64
    q          = clamp(round(x / scale) + zero_point, 0, qmax)
    x'         = (q - zero_point) * scale

So zero is exact, |x - x'| <= scale, and quantizing x' with the same scale gives q again.
Values lie in the order N, C, H, W; at 4 bits two to a byte, the first in the low nibble, an odd
last one alone. The packed bytes become one zstd frame of level 1 that states its content size.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import zstandard

from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import QuantizedFeatures

Float32Array = npt.NDArray[np.float32]
UInt8Array = npt.NDArray[np.uint8]

BITS = (8, 4)
MAX_VALUES = 1 << 26
# 1e30 as float32. Beyond it the network has diverged, and float32 sums would overflow.
LARGEST_VALUE = float(np.float32(1e30))
_SMALLEST_NORMAL = 2.0**-126
_ZSTD_LEVEL = 1
_own = threading.local()
_BLOCK_VALUES = 1 << 15  # quantize in pieces that stay in the cache


@dataclass(frozen=True)
class Quantized:
    """Features in quantized form.

    values: (N, C, H, W) uint8, each at most 2^bits - 1. scales: (C,) float32.
    zero_points: (C,) uint8.
    """

    bits: int
    values: UInt8Array
    scales: Float32Array
    zero_points: UInt8Array

    def rows(self, start: int, stop: int) -> "Quantized":
        """Return samples `start` to `stop`, with the same scales."""
        return Quantized(self.bits, self.values[start:stop], self.scales, self.zero_points)

    def take(self, indexes: Sequence[int]) -> "Quantized":
        """Return the samples of these indexes, in their order, with the same scales."""
        return Quantized(self.bits, self.values[list(indexes)], self.scales, self.zero_points)


def quantize(features: Float32Array, bits: int) -> Quantized:
    """Quantize features (N, C, H, W) float32 to `bits` bits per value.

    Raises ProtocolError for another shape or dtype, for NaN, infinity or values beyond 1e30, and
    for a bit width but 8 and 4.
    """
    _check_bits(bits)
    if features.ndim != 4 or features.dtype != np.float32 or features.size == 0:
        raise ProtocolError(
            f"features must be float32 (N, C, H, W) and not empty, got "
            f"{features.dtype} {features.shape}"
        )
    count, channels = features.shape[:2]
    flat = np.ascontiguousarray(features).reshape(count, channels, -1)
    scales, zero_points = _scales_and_zero_points(flat, bits)
    values = np.empty(flat.shape, np.uint8)
    column = scales[:, None]
    offset = zero_points.astype(np.float32)[:, None]
    step = max(1, _BLOCK_VALUES // flat[0].size)
    work = np.empty((min(step, count), *flat.shape[1:]), np.float32)
    for start in range(0, count, step):
        block = work[: min(step, count - start)]
        np.divide(flat[start : start + step], column, out=block)
        np.rint(block, out=block)
        np.add(block, offset, out=block)
        np.clip(block, 0, 2**bits - 1, out=block)
        values[start : start + step] = block
    return Quantized(bits, values.reshape(features.shape), scales, zero_points)


def dequantize(quantized: Quantized) -> Float32Array:
    """Return the features (N, C, H, W) float32 that the quantized ones stand for."""
    shape = (1, -1, 1, 1)
    features = quantized.values.astype(np.float32)
    features -= quantized.zero_points.astype(np.float32).reshape(shape)
    features *= quantized.scales.reshape(shape)
    return features


def pack(quantized: Quantized) -> UInt8Array:
    """Return the bytes that a payload holds before compression."""
    values = quantized.values.reshape(-1)
    return values if quantized.bits == 8 else _pack_nibbles(values)


def encode(quantized: Quantized) -> QuantizedFeatures:
    """Pack and compress quantized features into their message."""
    return QuantizedFeatures(
        bits=quantized.bits,
        scales=quantized.scales.astype("<f4").tobytes(),
        zero_points=quantized.zero_points.tobytes(),
        compression=QuantizedFeatures.ZSTD,
        payload=zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(pack(quantized).data),
    )


def check_features(message: QuantizedFeatures, shape: tuple[int, ...]) -> None:
    """Check what `decode` checks, without unpacking: a receiver need not have the values yet.

    Raises ProtocolError if anything does not fit the shape.
    """
    _checked(message, shape)


def decode(message: QuantizedFeatures, shape: tuple[int, ...]) -> Quantized:
    """Unpack the message of features of the given shape (N, C, H, W), as announced and checked.

    Takes no more memory than the shape says. Raises ProtocolError if anything does not fit it.
    """
    packed, scales, zero_points = _checked(message, shape)
    values = packed if message.bits == 8 else _unpack_nibbles(packed, _product(shape))
    return Quantized(message.bits, values.reshape(shape), scales, zero_points)


def payload_bound(values: int, bits: int) -> int:
    """Return the largest number of payload bytes that `values` values can take."""
    packed = values if bits == 8 else (values + 1) // 2
    return packed + (packed >> 7) + 512


def _check_bits(bits: int) -> None:
    if bits not in BITS:
        raise ProtocolError(f"{bits} bits per value: only 8 and 4 are defined")


def _checked(
    message: QuantizedFeatures, shape: tuple[int, ...]
) -> tuple[UInt8Array, Float32Array, UInt8Array]:
    """Return packed values, scales (C,) and zero points (C,) that fit the shape."""
    bits = message.bits
    _check_bits(bits)
    if len(shape) != 4 or min(shape) < 1 or _product(shape) > MAX_VALUES:
        raise ProtocolError(f"shape {shape} is not four positive sizes of {MAX_VALUES} values")
    scales = np.frombuffer(_exactly(message.scales, 4 * shape[1], "scales"), "<f4")
    # A NaN makes both NaN, which compares as false.
    if not (scales.min() >= _SMALLEST_NORMAL and scales.max() <= LARGEST_VALUE):
        raise ProtocolError("a scale is not a positive normal number up to 1e30")
    zero_points = np.frombuffer(_exactly(message.zero_points, shape[1], "zero points"), np.uint8)
    if max(message.zero_points) > 2**bits - 1:
        raise ProtocolError(f"a zero point exceeds {2**bits - 1}")
    count = _product(shape)
    packed = _decompress(message, count if bits == 8 else (count + 1) // 2)
    if bits == 4 and count % 2 and packed[-1] >> 4:
        raise ProtocolError("the unused last nibble is not zero")
    return packed, scales.astype(np.float32), zero_points


def _scales_and_zero_points(flat: Float32Array, bits: int) -> tuple[Float32Array, UInt8Array]:
    low = np.minimum(flat.min(axis=2).min(axis=0), 0).astype(np.float64)
    high = np.maximum(flat.max(axis=2).max(axis=0), 0).astype(np.float64)
    if not ((low >= -LARGEST_VALUE).all() and (high <= LARGEST_VALUE).all()):
        raise ProtocolError("features hold NaN, infinity or values beyond 1e30: training diverged")
    qmax = 2**bits - 1
    scales = np.maximum((high - low) / qmax, _SMALLEST_NORMAL).astype(np.float32)
    zero_points = np.clip(np.rint(-low / scales.astype(np.float64)), 0, qmax)
    return scales, zero_points.astype(np.uint8)


def _pack_nibbles(values: UInt8Array) -> UInt8Array:
    packed: UInt8Array = values[0::2].copy()
    high = values[1::2]
    packed[: len(high)] |= high << 4
    return packed


def _unpack_nibbles(packed: UInt8Array, count: int) -> UInt8Array:
    values = np.empty((len(packed), 2), np.uint8)
    np.bitwise_and(packed, 15, out=values[:, 0])
    np.right_shift(packed, 4, out=values[:, 1])
    return values.reshape(-1)[:count]


def _decompress(message: QuantizedFeatures, size: int) -> UInt8Array:
    payload = message.payload
    if message.compression == QuantizedFeatures.NONE:
        return np.frombuffer(_exactly(payload, size, "payload"), np.uint8)
    if message.compression != QuantizedFeatures.ZSTD:
        raise ProtocolError(f"compression {message.compression} is unknown")
    try:
        # The frame's own size decides what zstandard allocates, so it is checked before.
        if zstandard.frame_content_size(payload) != size:
            raise ProtocolError(f"payload is not a zstd frame of {size} bytes")
        raw = _decompressor().decompress(payload, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ProtocolError(f"payload does not decompress: {error}") from error
    return np.frombuffer(_exactly(raw, size, "decompressed payload"), np.uint8)


def _decompressor() -> zstandard.ZstdDecompressor:
    """Return this thread's own: to make one costs as much as to decompress a small message."""
    found: zstandard.ZstdDecompressor | None = getattr(_own, "decompressor", None)
    if found is None:
        found = _own.decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 23)
    return found


def _exactly(data: bytes, size: int, what: str) -> bytes:
    if len(data) != size:
        raise ProtocolError(f"{what}: {len(data)} bytes where the shape says {size}")
    return data


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product
