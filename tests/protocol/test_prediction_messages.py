import contextlib
import math
from collections.abc import Callable

import numpy as np
import pytest
from hiertk_protocol.codec import quantize
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import PredictReply, PredictRequest
from hiertk_protocol.prediction_messages import (
    MAX_PREDICT_SAMPLES,
    CloudRefusedError,
    FinalExitReply,
    PredictionContract,
)
from hypothesis import given
from hypothesis import strategies as st
from protocol_samples import make_manifest

MANIFEST = make_manifest()
CONTRACT = PredictionContract(MANIFEST)
OPEN_SLOTS, SLOTS = len(MANIFEST.classes.names), MANIFEST.classes.capacity


def features(samples: int) -> bytes:
    shape = (samples, *MANIFEST.features.shape)
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return CONTRACT.request(quantize(values, 4))


def probabilities(samples: int = 1) -> list[float]:
    return ([0.25, 0.75] + [0.0] * (SLOTS - OPEN_SLOTS)) * samples


def reply(*values: float, cloud_step: int = 5) -> bytes:
    payload: bytes = PredictReply(cloud_step=cloud_step, probabilities=values).SerializeToString()
    return payload


def change(**fields: object) -> Callable[[PredictRequest], None]:
    def apply(message: PredictRequest) -> None:
        for name, value in fields.items():
            if isinstance(value, list):
                del getattr(message, name)[:]
                getattr(message, name).extend(value)
            else:
                setattr(message, name, value)

    return apply


@pytest.mark.parametrize("samples", [1, MAX_PREDICT_SAMPLES])
def test_a_request_comes_back_as_the_features_it_was_made_of(samples: int) -> None:
    asked = CONTRACT.read_request(features(samples)).features
    assert (asked.bits, asked.values.shape) == (4, (samples, *MANIFEST.features.shape))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (change(bundle_id=b""), "made with bundle , not"),
        (change(bundle_id=bytes(32)), "made with bundle 0000000000000000, not"),
        (change(shape=[]), "shape"),
        (change(shape=[1]), "shape"),
        (change(shape=[0, 3, 2, 2]), "shape"),
        (change(shape=[1, 3, 2, 2, 1]), "shape"),
        (change(shape=[1, 2, 3, 2]), "shape"),
        (change(shape=[MAX_PREDICT_SAMPLES + 1, 3, 2, 2]), "shape"),
        (change(shape=[2, 3, 2, 2]), "payload"),
        (change(shape=[1, 3, 2, 2] * 1_000_000), "shape"),
    ],
)
def test_a_request_that_breaks_the_contract_is_refused_with_the_reason(
    damage: Callable[[PredictRequest], None], reason: str
) -> None:
    message = PredictRequest.FromString(features(1))
    damage(message)
    with pytest.raises(ProtocolError, match=reason):
        CONTRACT.read_request(message.SerializeToString())


def test_a_reply_comes_back() -> None:
    rows = np.array(probabilities(3), np.float32).reshape(3, SLOTS)
    found = CONTRACT.read_reply(CONTRACT.reply(FinalExitReply(9, rows)), samples=3)
    assert found.cloud_step == 9
    assert np.array_equal(found.probabilities, rows)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (reply(), "0 probabilities for 1 samples of 10 slots"),
        (reply(*probabilities(2)), "20 probabilities"),
        (reply(0.75, 0.75, *[0.0] * 8), "do not sum to 1"),
        (reply(*[0.0] * 10), "do not sum to 1"),
        (reply(1.5, -0.5, *[0.0] * 8), "not between 0 and 1"),
        (reply(math.nan, 1.0, *[0.0] * 8), "not between 0 and 1"),
        (reply(math.inf, 1.0, *[0.0] * 8), "not between 0 and 1"),
        (reply(*probabilities(), cloud_step=(1 << 64) - 1), "cloud step"),
        (reply(*probabilities(1000)), "more than"),
        (b"\x1a\x02\xff\xff", "not a message of this protocol"),
    ],
)
def test_a_reply_that_breaks_the_contract_is_refused(payload: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason) as found:
        CONTRACT.read_reply(payload, samples=1)
    assert not isinstance(found.value, CloudRefusedError)


def test_a_refusal_says_its_reason_in_one_short_line() -> None:
    with pytest.raises(CloudRefusedError, match=r"^too many requests$"):
        CONTRACT.read_reply(CONTRACT.refusal("too many requests"), samples=1)
    odd = PredictReply(error="a\x1b[31m\nb" + "x" * 1000).SerializeToString()
    with pytest.raises(CloudRefusedError) as found:
        CONTRACT.read_reply(odd, samples=1)
    assert str(found.value).startswith("a [31m b")
    assert str(found.value).isprintable()
    assert len(str(found.value)) <= 200


@given(st.binary(max_size=300), st.integers(1, MAX_PREDICT_SAMPLES))
def test_arbitrary_bytes_are_refused_on_both_sides(payload: bytes, samples: int) -> None:
    with pytest.raises(ProtocolError):
        CONTRACT.read_request(payload)
    with pytest.raises(ProtocolError):
        CONTRACT.read_reply(payload, samples)


@given(st.lists(st.floats(width=32), min_size=SLOTS, max_size=SLOTS))
def test_what_is_taken_are_probabilities_of_open_slots(values: list[float]) -> None:
    with contextlib.suppress(ProtocolError):
        found = CONTRACT.read_reply(reply(*values), samples=1).probabilities
        assert found.sum() == pytest.approx(1, abs=1e-3)
        assert not found[:, OPEN_SLOTS:].any()
