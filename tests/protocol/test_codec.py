import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import zstandard
from hiertk_protocol.codec import (
    BITS,
    LARGEST_VALUE,
    MAX_VALUES,
    Float32Array,
    Quantized,
    decode,
    dequantize,
    encode,
    pack,
    payload_bound,
    quantize,
)
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import QuantizedFeatures
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

Shape = tuple[int, int, int, int]

bit_widths = st.sampled_from(BITS)
values = st.one_of(
    st.floats(-8, 8, width=32),
    st.floats(-(2.0**99), 2.0**99, width=32),
    st.floats(-(2.0**-120), 2.0**-120, width=32),
)
features_arrays = arrays(
    np.float32, array_shapes(min_dims=4, max_dims=4, max_side=4), elements=values
)


def random_features(shape: Shape, seed: int = 0) -> Float32Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def per_channel(numbers: np.ndarray) -> np.ndarray:
    return numbers.astype(np.float64).reshape(1, -1, 1, 1)


def message_of(shape: Shape, bits: int = 8) -> QuantizedFeatures:
    return encode(quantize(random_features(shape), bits))


# Quantization


@given(features_arrays, bit_widths)
def test_the_error_is_at_most_one_scale_and_half_of_it_inside(
    features: Float32Array, bits: int
) -> None:
    quantized = quantize(features, bits)
    scale = per_channel(quantized.scales)
    error = np.abs(features.astype(np.float64) - dequantize(quantized))
    rounding = 1e-6 * np.abs(features)  # of the product in float32
    assert (error <= scale + rounding).all()
    inside = (quantized.values > 0) & (quantized.values < 2**bits - 1)
    assert (error <= np.where(inside, scale / 2 * (1 + 1e-4), np.inf) + rounding).all()


@given(features_arrays, bit_widths)
def test_zeros_are_exact(features: Float32Array, bits: int) -> None:
    features[features < 1] = 0
    assert (dequantize(quantize(features, bits))[features == 0] == 0).all()


@given(features_arrays, bit_widths)
def test_quantizing_again_with_the_same_scale_changes_nothing(
    features: Float32Array, bits: int
) -> None:
    quantized = quantize(features, bits)
    scale = quantized.scales.reshape(1, -1, 1, 1)
    offset = quantized.zero_points.reshape(1, -1, 1, 1).astype(np.float32)
    again = np.clip(np.rint(dequantize(quantized) / scale) + offset, 0, 2**bits - 1)
    assert (again == quantized.values).all()


@given(features_arrays, bit_widths)
def test_scales_are_normal_and_values_fit_the_bits(features: Float32Array, bits: int) -> None:
    quantized = quantize(features, bits)
    assert (quantized.scales >= 2.0**-126).all()
    assert int(quantized.values.max()) <= 2**bits - 1
    assert int(quantized.zero_points.max()) <= 2**bits - 1


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("constant", [0.0, 3.7, -3.7, 1e30, -1e30, 1e-30])
def test_a_constant_channel_comes_back(bits: int, constant: float) -> None:
    features = np.full((2, 1, 3, 3), constant, np.float32)
    assert dequantize(quantize(features, bits)) == pytest.approx(features, rel=1e-6)


@pytest.mark.parametrize("bits", BITS)
def test_a_range_below_the_smallest_scale_becomes_zero(bits: int) -> None:
    features = np.full((1, 1, 1, 2), 1e-42, np.float32)
    assert (dequantize(quantize(features, bits)) == 0).all()


@pytest.mark.parametrize("bits", BITS)
def test_channels_do_not_share_a_scale(bits: int) -> None:
    features = random_features((4, 2, 3, 3))
    features[:, 1] *= 1000
    alone = quantize(np.ascontiguousarray(features[:, :1]), bits)
    assert (quantize(features, bits).values[:, :1] == alone.values).all()


@pytest.mark.parametrize("bits", BITS)
def test_large_batches_are_quantized_as_the_rules_say(bits: int) -> None:
    features = random_features((40, 5, 31, 33))
    quantized = quantize(features, bits)
    scale = quantized.scales.reshape(1, -1, 1, 1)
    offset = quantized.zero_points.astype(np.float32).reshape(1, -1, 1, 1)
    expected = np.clip(np.rint(features / scale) + offset, 0, 2**bits - 1)
    assert (quantized.values == expected).all()


def test_memory_order_does_not_matter() -> None:
    features = random_features((3, 4, 5, 6))
    channels_last = np.ascontiguousarray(features.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert (quantize(channels_last, 8).values == quantize(features, 8).values).all()


def test_the_input_is_left_alone() -> None:
    features = random_features((3, 4, 5, 6))
    before = features.copy()
    quantize(features, 4)
    assert (features == before).all()


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1.1e30, -1.1e30])
@pytest.mark.parametrize("place", [0, 17, 35])
def test_what_is_not_a_usable_number_is_refused(bits: int, bad: float, place: int) -> None:
    features = np.zeros((2, 2, 3, 3), np.float32)
    features.reshape(-1)[place] = bad
    with pytest.raises(ProtocolError, match="training diverged"):
        quantize(features, bits)


def test_the_largest_value_is_accepted() -> None:
    features = np.full((1, 1, 1, 1), LARGEST_VALUE, np.float32)
    message = encode(quantize(features, 4))
    assert dequantize(decode(message, (1, 1, 1, 1))) == pytest.approx(features)


@pytest.mark.parametrize(
    "features",
    [
        np.zeros((2, 3, 4), np.float32),
        np.zeros((2, 3, 4, 4), np.float64),
        np.zeros((0, 3, 4, 4), np.float32),
        np.zeros((2, 0, 4, 4), np.float32),
    ],
)
def test_another_shape_or_dtype_is_refused(features: Float32Array) -> None:
    with pytest.raises(ProtocolError, match="float32"):
        quantize(features, 8)


@pytest.mark.parametrize("bits", [0, 1, 2, 5, 16, -4])
def test_another_bit_width_is_refused(bits: int) -> None:
    with pytest.raises(ProtocolError, match="only 8 and 4"):
        quantize(np.zeros((1, 1, 1, 1), np.float32), bits)
    with pytest.raises(ProtocolError):
        decode(QuantizedFeatures(bits=abs(bits)), (1, 1, 1, 1))


# The message


@given(features_arrays, bit_widths)
def test_encoding_and_decoding_gives_the_same(features: Float32Array, bits: int) -> None:
    quantized = quantize(features, bits)
    message = QuantizedFeatures.FromString(encode(quantized).SerializeToString())
    decoded = decode(message, features.shape)
    assert decoded.bits == bits
    assert (decoded.values == quantized.values).all()
    assert (decoded.scales == quantized.scales).all()
    assert (decoded.zero_points == quantized.zero_points).all()
    assert (dequantize(decoded) == dequantize(quantized)).all()


def test_an_uncompressed_payload_is_accepted() -> None:
    quantized = quantize(random_features((1, 3, 1, 3)), 4)
    message = encode(quantized)
    message.compression = QuantizedFeatures.NONE
    message.payload = pack(quantized).tobytes()
    assert (decode(message, (1, 3, 1, 3)).values == quantized.values).all()


def test_four_bits_lie_low_nibble_first_and_an_odd_last_one_alone() -> None:
    nibbles = np.array([1, 2, 3, 4, 5], np.uint8).reshape(1, 1, 1, 5)
    quantized = Quantized(4, nibbles, np.ones(1, np.float32), np.zeros(1, np.uint8))
    assert pack(quantized).tobytes() == bytes([0x21, 0x43, 0x05])


@given(st.data(), bit_widths)
def test_rows_are_encoded_as_the_same_samples(data: st.DataObject, bits: int) -> None:
    shape = data.draw(st.tuples(st.integers(1, 6), *[st.integers(1, 3)] * 3))
    start = data.draw(st.integers(0, shape[0] - 1))
    stop = data.draw(st.integers(start + 1, shape[0]))
    quantized = quantize(random_features(shape), bits)
    decoded = decode(encode(quantized.rows(start, stop)), (stop - start, *shape[1:]))
    assert (dequantize(decoded) == dequantize(quantized)[start:stop]).all()


@given(st.integers(1, 5000), bit_widths)
def test_no_payload_exceeds_its_bound(count: int, bits: int) -> None:
    noise = np.random.default_rng(count).integers(0, 2**bits, count, np.uint8)
    quantized = Quantized(
        bits, noise.reshape(1, 1, 1, -1), np.ones(1, np.float32), np.zeros(1, np.uint8)
    )
    assert len(encode(quantized).payload) <= payload_bound(count, bits)


def test_no_large_payload_exceeds_its_bound() -> None:
    test = test_no_payload_exceeds_its_bound.hypothesis.inner_test  # type: ignore[attr-defined]
    test(1 << 21, 8)


# Damaged messages

SHAPE: Shape = (2, 3, 4, 5)


def set_scale(number: float) -> Callable[[QuantizedFeatures], None]:
    def change(message: QuantizedFeatures) -> None:
        message.scales = np.float32(number).tobytes() + message.scales[4:]

    return change


def set_field(name: str, value: object) -> Callable[[QuantizedFeatures], None]:
    return lambda message: setattr(message, name, value)


def compress(data: bytes, *, state_size: bool = True) -> bytes:
    parameters = zstandard.ZstdCompressor(level=1, write_content_size=state_size)
    return parameters.compress(data)


def frame_that_says(size: int, data: bytes) -> bytes:
    """Return a frame of one raw block whose header states another content size."""
    header = b"\x28\xb5\x2f\xfd" + bytes([0b11100000]) + size.to_bytes(8, "little")
    return header + (1 | len(data) << 3).to_bytes(3, "little") + data


def run_length_frame(size: int) -> bytes:
    """Return the smallest frame of zeros: 4 bytes for each 128 KiB."""
    blocks = []
    for start in range(0, size, 1 << 17):
        length = min(1 << 17, size - start)
        last = start + length == size
        blocks.append((last | 1 << 1 | length << 3).to_bytes(3, "little") + b"\0")
    return b"\x28\xb5\x2f\xfd" + bytes([0b11100000]) + size.to_bytes(8, "little") + b"".join(blocks)


def test_the_frames_of_these_tests_are_valid() -> None:
    plain = zstandard.ZstdDecompressor()
    assert plain.decompress(frame_that_says(3, b"abc")) == b"abc"
    assert plain.decompress(run_length_frame(300_000)) == bytes(300_000)


@pytest.mark.parametrize(
    "change",
    [
        set_scale(0),
        set_scale(-1),
        set_scale(np.nan),
        set_scale(np.inf),
        set_scale(1e-40),
        set_scale(1.1e30),
        set_field("bits", 0),
        set_field("bits", 5),
        set_field("bits", 4),
        set_field("scales", b""),
        set_field("scales", bytes(11)),
        set_field("scales", np.ones(4, np.float32).tobytes()),
        set_field("zero_points", b"\0\0"),
        set_field("zero_points", bytes(4)),
        set_field("compression", 7),
        set_field("compression", QuantizedFeatures.NONE),
        set_field("payload", b""),
        set_field("payload", bytes(120)),
        set_field("payload", compress(bytes(119))),
        set_field("payload", compress(bytes(121))),
        set_field("payload", compress(bytes(120), state_size=False)),
        set_field("payload", compress(bytes(120)) + b"\0"),
        set_field("payload", compress(bytes(120)) + compress(bytes(120))),
        set_field("payload", compress(bytes(60)) + compress(bytes(60))),
        set_field("payload", compress(bytes(120))[:-1]),
        set_field("payload", frame_that_says(120, bytes(119))),
        set_field("payload", frame_that_says(120, bytes(121))),
        set_field("payload", frame_that_says(120, bytes(100_000))),
        set_field("payload", b"\x50\x2a\x4d\x18\x00\x00\x00\x00"),  # a skippable frame
    ],
)
def test_a_damaged_message_is_refused(change: Callable[[QuantizedFeatures], None]) -> None:
    message = message_of(SHAPE)
    change(message)
    with pytest.raises(ProtocolError):
        decode(message, SHAPE)


def test_a_zero_point_beyond_four_bits_is_refused() -> None:
    message = message_of(SHAPE, 4)
    message.zero_points = bytes([0, 16, 0])
    with pytest.raises(ProtocolError, match="zero point"):
        decode(message, SHAPE)


def test_an_unused_nibble_that_is_set_is_refused() -> None:
    message = message_of((1, 3, 1, 1), 4)
    packed = bytearray(zstandard.ZstdDecompressor().decompress(message.payload))
    packed[-1] |= 0x10
    message.payload = compress(bytes(packed))
    with pytest.raises(ProtocolError, match="last nibble"):
        decode(message, (1, 3, 1, 1))


@pytest.mark.parametrize(
    "shape",
    [(), (2, 3, 4), (2, 3, 4, 5, 1), (0, 3, 4, 5), (-2, 3, 4, 5), (2, 3, 1 << 31, 1 << 31)],
)
def test_an_impossible_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ProtocolError, match="shape"):
        decode(message_of(SHAPE), shape)


def test_a_shape_of_too_many_values_is_refused() -> None:
    with pytest.raises(ProtocolError, match="shape"):
        decode(message_of((1, 1, 1, 1)), (1, 1, 1, MAX_VALUES + 1))


def peak_while_refusing(message: QuantizedFeatures, shape: Shape) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            decode(message, shape)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "payload",
    [
        run_length_frame(1 << 28),
        frame_that_says(1 << 40, b"x"),
        frame_that_says((1 << 64) - 3, b"x"),
        run_length_frame(120) + run_length_frame(1 << 28),
        frame_that_says(120, bytes(10)) + run_length_frame(1 << 28)[13:],
    ],
)
def test_a_bomb_is_refused_before_it_takes_memory(payload: bytes) -> None:
    message = message_of(SHAPE)
    message.payload = payload
    assert peak_while_refusing(message, SHAPE) < 1 << 20


@given(st.binary(max_size=200), st.tuples(*[st.integers(0, 6)] * 4))
def test_arbitrary_bytes_raise_only_protocol_errors(
    data: bytes, shape: tuple[int, int, int, int]
) -> None:
    message = message_of(SHAPE)
    message.payload = data
    with pytest.raises(ProtocolError):
        decode(message, shape)


@given(st.data(), bit_widths)
def test_changed_payload_bytes_decode_or_raise_protocol_errors(
    data: st.DataObject, bits: int
) -> None:
    message = message_of(SHAPE, bits)
    payload = bytearray(message.payload)
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    message.payload = bytes(payload)
    try:
        decoded = decode(message, SHAPE)
    except ProtocolError:
        return
    assert decoded.values.shape == SHAPE
    assert int(decoded.values.max()) < 2**bits
    assert np.isfinite(dequantize(decoded)).all()
