"""Pairing codes: what one says comes back, and whatever else is refused without repeating it."""

import pytest
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.pairing import (
    MAX_CA_BYTES,
    MAX_TEXT_BYTES,
    Pairing,
    encode_ca,
    parse_pairing,
)
from hypothesis import given
from hypothesis import strategies as st

DEVICES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
PASSWORDS = st.from_regex(r"[!-~]{1,128}", fullmatch=True)
SECRET = "s3cret-and-so-on"


def a_pairing(**changes: str) -> Pairing:
    fields = {
        "broker": "mqtts://broker.example:8884",
        "device": "phone-1",
        "deployment": "0123456789abcdef",
        "password": SECRET,
        "ca": encode_ca(bytes(385)),
    }
    return Pairing(**(fields | changes))


@given(
    device=DEVICES.filter(lambda name: name != "down"),
    password=PASSWORDS,
    ca=st.binary(min_size=1, max_size=MAX_CA_BYTES),
)
def test_a_code_says_what_it_was_made_of(device: str, password: str, ca: bytes) -> None:
    made = a_pairing(device=device, password=password, ca=encode_ca(ca))
    found = parse_pairing(made.to_text())
    assert found == made
    assert found.ca_der == ca


def test_the_longest_code_fits_a_qr_code() -> None:
    longest = a_pairing(
        broker=f"mqtts://{253 * 'b'}:65535",
        device=63 * "d",
        password=128 * "\\",  # two characters of JSON each
        ca=encode_ca(bytes(MAX_CA_BYTES)),
    )
    assert len(longest.to_text()) <= MAX_TEXT_BYTES
    assert parse_pairing(longest.to_text()) == longest


@given(st.one_of(st.text(), st.text().map(lambda text: f"hiertk:1:{text}")))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        parse_pairing(text)


def test_a_code_of_a_later_version_asks_for_an_update() -> None:
    with pytest.raises(ProtocolError, match="version '2': update"):
        parse_pairing(a_pairing().to_text().replace("hiertk:1:", "hiertk:2:"))


@pytest.mark.parametrize("spoiled", ["}", '"device"', "phone-1", "mqtts", '"ca":"'])
def test_a_refusal_and_a_representation_never_tell_the_password(spoiled: str) -> None:
    text = a_pairing().to_text().replace(spoiled, "?")
    with pytest.raises(ProtocolError) as caught:
        parse_pairing(text)
    chain = (caught.value, caught.value.__cause__)
    assert all(SECRET not in repr(error) for error in chain)
    assert SECRET not in repr(a_pairing())
