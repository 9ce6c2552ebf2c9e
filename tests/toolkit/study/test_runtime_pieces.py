"""Batches of the baselines on the wire: whole again on the other side, and nothing else taken."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hiertk.study.runtime.baselines.pieces import (
    MAX_PIECE_BYTES,
    Assembly,
    Batch,
    Kind,
    decode_piece,
    encode_pieces,
)
from hiertk_protocol.errors import ConfigError, ProtocolError
from hypothesis import given
from hypothesis import strategies as st

TYPES = {Kind.PIXELS: (np.uint8,), Kind.FEATURES: (np.float16, np.float32)}
TYPES[Kind.GRADIENTS] = TYPES[Kind.FEATURES]


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    kind = draw(st.sampled_from(Kind))
    count = draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    labels = random.integers(0, 1000, 0 if kind is Kind.GRADIENTS else count).astype(np.int64)
    number = draw(st.integers(1, 2**32 - 1))
    if kind is Kind.FILES:
        sizes = random.integers(1, 60_000, count).tolist()
        return Batch(kind, number, labels, files=tuple(random.bytes(size) for size in sizes))
    shape = [count, *draw(st.tuples(*[st.integers(1, 40)] * 3))]
    values = random.integers(0, 256, shape).astype(draw(st.sampled_from(TYPES[kind])))
    return Batch(kind, number, labels, values=values, scale=draw(st.sampled_from((1.0, 0.5))))


def put_together(batch: Batch) -> Batch:
    assembly, messages = Assembly(), list(encode_pieces(batch))
    assert all(len(one) <= MAX_PIECE_BYTES for one in messages)
    *early, last = [assembly.add(decode_piece(one)) for one in messages]
    assert early == [None] * len(early)
    assert last is not None
    return last


@given(batches())
def test_a_batch_is_the_same_on_the_other_side(batch: Batch) -> None:
    found = put_together(batch)
    assert (found.kind, found.number, found.files, found.scale) == (
        *(batch.kind, batch.number, batch.files, batch.scale),
    )
    np.testing.assert_array_equal(found.labels, batch.labels)
    if batch.values is not None:
        assert found.values is not None
        assert found.values.dtype == batch.values.dtype
        np.testing.assert_array_equal(found.values, batch.values)


def test_a_batch_larger_than_a_message_goes_in_several() -> None:
    values = np.zeros((32, 64, 16, 16), np.float32)
    batch = Batch(Kind.FEATURES, 1, np.zeros(32, np.int64), values=values)
    assert len(list(encode_pieces(batch))) > 1
    assert len(put_together(batch)) == 32


@pytest.mark.parametrize(("count", "side"), [(1, 400), (0, 2)])
def test_what_no_message_can_hold_is_refused_before_it_is_sent(count: int, side: int) -> None:
    values = np.zeros((count, 1, side, side), np.float32)
    with pytest.raises(ConfigError):
        list(encode_pieces(Batch(Kind.FEATURES, 1, np.zeros(count, np.int64), values=values)))


@given(st.binary(max_size=200))
def test_garbage_is_refused(message: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_piece(message)


@given(batches(), st.data())
def test_a_damaged_piece_is_refused_or_read_as_another_one(batch: Batch, data: Any) -> None:
    message = bytearray(next(encode_pieces(batch)))
    place = data.draw(st.integers(0, min(len(message) - 1, 60)))
    message[place] ^= data.draw(st.integers(1, 255))
    try:
        piece = decode_piece(bytes(message))
    except ProtocolError:
        return
    read = piece.batch
    assert 1 <= len(read) <= piece.total - piece.first
    assert len(read.labels) == (0 if read.kind is Kind.GRADIENTS else len(read))
    assert (read.values is None) == (read.kind is Kind.FILES)


@given(batches(), st.integers(1, 100))
def test_a_piece_that_is_cut_off_or_too_long_is_refused(batch: Batch, count: int) -> None:
    message = next(encode_pieces(batch))
    for damaged in (message[:-count], message + bytes(count)):
        with pytest.raises(ProtocolError):
            decode_piece(damaged)


def test_pieces_out_of_turn_are_refused() -> None:
    values = np.zeros((32, 64, 16, 16), np.float32)
    batch = Batch(Kind.FEATURES, 1, np.zeros(32, np.int64), values=values)
    first, second, *_ = [decode_piece(one) for one in encode_pieces(batch)]
    with pytest.raises(ProtocolError, match="came after 0 others"):
        Assembly().add(second)
    assembly = Assembly()
    assembly.add(first)
    with pytest.raises(ProtocolError, match="batch 2"):
        assembly.add(replace(second, batch=replace(second.batch, number=2)))
