"""Asking for a class's slot: both sides' checks of request and reply."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hiertk_protocol.class_requests import MAX_REQUEST_BYTES, ClassContract, GivenSlot
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import ClassReply, ClassRequest
from hiertk_protocol.prediction_messages import CloudRefusedError
from hypothesis import given
from hypothesis import strategies as st
from protocol_samples import make_manifest

MANIFEST = make_manifest()
CONTRACT = ClassContract(MANIFEST)


def request(name: str, bundle_id: bytes = MANIFEST.bundle_id) -> bytes:
    payload: bytes = ClassRequest(bundle_id=bundle_id, name=name).SerializeToString()
    return payload


def test_a_request_comes_back_as_the_name_in_its_usual_form() -> None:
    assert CONTRACT.read_request(CONTRACT.request("  ankle  boot ")) == "ankle boot"
    assert CONTRACT.read_request(request(" o\u0308l")) == "\u00f6l"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"garbage", "class request: not a message"),
        (b"", "made with bundle"),
        (request("boot", bytes(32)), "made with bundle 0000000000000000"),
        (request(""), "is empty"),
        (request("a\nb"), "cannot be shown"),
        (request("x" * 1000), "1000 characters"),
        (request("x" * 10_000), f"more than {MAX_REQUEST_BYTES}"),
    ],
)
def test_a_request_that_breaks_the_contract_is_refused(payload: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        CONTRACT.read_request(payload)


def test_an_unusable_name_is_not_even_sent() -> None:
    with pytest.raises(ProtocolError, match="cannot be shown"):
        CONTRACT.request("a\x07")


@given(
    st.builds(GivenSlot, st.integers(0, MANIFEST.classes.capacity - 1), st.integers(1, 2**32 - 1))
)
def test_a_slot_comes_back_from_its_reply(given_slot: GivenSlot) -> None:
    assert CONTRACT.read_reply(CONTRACT.reply(given_slot)) == given_slot


def test_a_refusal_is_one_short_line_whatever_the_cloud_says() -> None:
    with pytest.raises(CloudRefusedError, match="all slots are taken"):
        CONTRACT.read_reply(CONTRACT.refusal("all slots\nare\x1b taken"))
    with pytest.raises(CloudRefusedError) as raised:
        CONTRACT.read_reply(ClassReply(error="x" * 3000).SerializeToString())
    assert len(str(raised.value)) == 200


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"garbage",
        bytes(5000),
        ClassReply(slot=1 << 20, version=2).SerializeToString(),
        ClassReply(slot=1).SerializeToString(),
    ],
)
def test_a_reply_that_breaks_the_contract_is_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError, match="class reply"):
        CONTRACT.read_reply(payload)


def test_a_slot_that_only_a_grown_bundle_has_is_refused_with_what_to_do() -> None:
    beyond = ClassReply(slot=MANIFEST.classes.capacity, version=2).SerializeToString()
    with pytest.raises(CloudRefusedError, match="restart the device with the bundle"):
        CONTRACT.read_reply(beyond)


@given(st.binary(max_size=100), st.sampled_from([CONTRACT.read_request, CONTRACT.read_reply]))
def test_bytes_of_anyone_s_raise_nothing_else(data: bytes, read: Callable[[bytes], object]) -> None:
    with suppress(ProtocolError, CloudRefusedError):
        read(data)
