import contextlib
import math
from collections.abc import Callable

import pytest
from hiertk_protocol.codec import dequantize
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import Ack, DeviceStatus, FeatureBatch, ModelStatus, Refusal
from hiertk_protocol.messages import (
    MAX_SAMPLES,
    BatchKey,
    FeatureContract,
    parse_ack,
    parse_device_status,
    parse_model_status,
)
from hypothesis import given
from hypothesis import strategies as st
from protocol_samples import make_batch, make_manifest

MANIFEST = make_manifest()
CONTRACT = FeatureContract(MANIFEST)
VALID = make_batch(MANIFEST).SerializeToString()
LOSS_BYTES = 5  # the last field; without it a batch is as valid as with a loss of 0


def change(**fields: object) -> Callable[[FeatureBatch], None]:
    def apply(message: FeatureBatch) -> None:
        for name, value in fields.items():
            if isinstance(value, list):
                repeated = getattr(message, name)
                del repeated[:]
                repeated.extend(value)
            else:
                setattr(message, name, value)

    return apply


def test_a_valid_batch_passes_with_everything_in_it() -> None:
    message = make_batch(MANIFEST)
    message.purpose = FeatureBatch.HELD_OUT
    batch = CONTRACT.check(CONTRACT.parse(message.SerializeToString()))
    assert batch.key == BatchKey("rpi-1", (1 << 64) - 1, 7)
    assert (batch.floor, batch.edge_step, batch.held_out) == (3, 40, True)
    assert batch.features.values.shape == (5, 3, 2, 2)
    assert math.isfinite(float(dequantize(batch.features).sum()))
    assert batch.labels.tolist() == [0, 1, 2, 3, 4]
    assert batch.early_exit.tolist() == [0] * 5
    assert batch.early_exit_loss == 2.5


@pytest.mark.parametrize(
    "damage",
    [
        change(seq=0),
        change(seq=1 << 63),
        change(device=""),
        change(device="x" * 64),
        change(device="down"),
        change(device="a/b"),
        change(device="+"),
        change(device="Ö"),
    ],
)
def test_a_batch_without_a_key_is_not_even_parsed(damage: Callable[[FeatureBatch], None]) -> None:
    message = make_batch(MANIFEST)
    damage(message)
    with pytest.raises(ProtocolError, match="no usable device"):
        CONTRACT.parse(message.SerializeToString())


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (change(bundle_id=b""), "made with bundle"),
        (change(bundle_id=bytes(32)), "made with bundle 0000000000000000"),
        (change(floor=8), "floor 8 above"),
        (change(edge_step=1 << 63), "edge step"),
        (change(shape=[]), "shape"),
        (change(shape=[5]), "shape"),
        (change(shape=[5, 3, 2]), "shape"),
        (change(shape=[5, 3, 2, 2, 1]), "shape"),
        (change(shape=[0, 3, 2, 2]), "shape"),
        (change(shape=[MAX_SAMPLES + 1, 3, 2, 2]), "shape"),
        (change(shape=[5, 2, 3, 2]), "shape"),
        (change(shape=[4, 3, 2, 2], labels=[0] * 4, early_exit=[0] * 4), "payload"),
        (change(early_exit_loss=math.nan), "not finite"),
        (change(early_exit_loss=math.inf), "not finite"),
        (change(purpose=9), "purpose 9"),
        (change(labels=[]), "0 labels for 5 samples"),
        (change(labels=[0] * 6), "6 labels for 5 samples"),
        (change(labels=[0, 0, 0, 0, 10]), "labels name slot 10 of 10"),
        (change(labels=[0, 0, 0, 0, (1 << 32) - 1]), "labels name slot"),
        (change(early_exit=[]), "0 early-exit predictions"),
        (change(early_exit=[10] * 5), "early-exit predictions name slot 10"),
    ],
)
def test_a_batch_that_breaks_the_contract_is_refused_with_the_reason(
    damage: Callable[[FeatureBatch], None], reason: str
) -> None:
    message = make_batch(MANIFEST)
    damage(message)
    with pytest.raises(ProtocolError, match=reason):
        CONTRACT.check(CONTRACT.parse(message.SerializeToString()))


def test_a_batch_without_features_is_refused() -> None:
    message = make_batch(MANIFEST)
    message.ClearField("features")
    with pytest.raises(ProtocolError, match="bits per value"):
        CONTRACT.check(message)


def test_four_bits_are_refused_where_eight_are_announced_by_the_size() -> None:
    message = make_batch(MANIFEST)
    message.features.bits = 8
    with pytest.raises(ProtocolError):
        CONTRACT.check(message)


@given(st.data())
def test_changed_bytes_pass_whole_or_raise_protocol_errors(data: st.DataObject) -> None:
    payload = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 5))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        batch = CONTRACT.check(CONTRACT.parse(bytes(payload)))
    except ProtocolError:
        return
    count = len(batch.labels)
    assert batch.features.values.shape == (count, 3, 2, 2)
    assert 0 <= int(batch.labels.min()) <= int(batch.labels.max()) < 10


@given(st.integers(0, len(VALID) - 1).filter(lambda length: length != len(VALID) - LOSS_BYTES))
def test_a_truncated_batch_is_refused(length: int) -> None:
    with pytest.raises(ProtocolError):
        CONTRACT.check(CONTRACT.parse(VALID[:length]))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_only_protocol_errors(payload: bytes) -> None:
    for parse in (parse_ack, parse_device_status, parse_model_status):
        with contextlib.suppress(ProtocolError):
            parse(payload)
    with pytest.raises(ProtocolError):
        CONTRACT.check(CONTRACT.parse(payload))


def test_text_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(ProtocolError, match="not a message of this protocol"):
        CONTRACT.parse(b"\x12\x02\xff\xff" + VALID)


def test_a_huge_payload_is_refused_unparsed() -> None:
    with pytest.raises(ProtocolError, match="more than"):
        CONTRACT.parse(bytes((16 << 20) + 1))


def test_millions_of_labels_are_refused_before_they_are_converted() -> None:
    message = make_batch(MANIFEST)
    message.labels.extend([0] * 3_000_000)
    message.shape.extend([1] * 3_000_000)
    with pytest.raises(ProtocolError, match="shape"):
        CONTRACT.check(message)
    change(shape=[5, 3, 2, 2])(message)
    with pytest.raises(ProtocolError, match="3000005 labels"):
        CONTRACT.check(message)


def test_acks_and_statuses_come_back() -> None:
    ack = Ack(epoch=1, through=4, beyond=[6], refused=[Refusal(seq=3, reason="no")])
    assert parse_ack(ack.SerializeToString()) == ack
    device = DeviceStatus(state=DeviceStatus.DRAINING, step_ms=1.5)
    assert parse_device_status(device.SerializeToString()) == device
    model = ModelStatus(state=ModelStatus.ONLINE, stored_total=9)
    assert parse_model_status(model.SerializeToString()) == model


def test_statuses_of_an_unknown_state_are_refused() -> None:
    with pytest.raises(ProtocolError, match="state 77 is unknown"):
        parse_device_status(b"\x08\x4d")
    with pytest.raises(ProtocolError, match="state 77 is unknown"):
        parse_model_status(b"\x08\x4d")


def test_statuses_and_acks_beyond_their_limits_are_refused() -> None:
    with pytest.raises(ProtocolError, match="more than 4096"):
        parse_device_status(bytes(4097))
    with pytest.raises(ProtocolError, match="more than 4096"):
        parse_model_status(bytes(4097))
    with pytest.raises(ProtocolError, match="more than"):
        parse_ack(bytes((1 << 20) + 1))
