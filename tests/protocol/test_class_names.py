"""Names of classes: one form, a length that fits, nothing that a line cannot show."""

import unicodedata

import pytest
from hiertk_protocol.class_names import MAX_NAME_CHARACTERS, clean_class_name
from hiertk_protocol.errors import ProtocolError
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("boot", "boot"),
        ("  ankle   boot ", "ankle boot"),
        ("a\u00a0b", "a b"),
        ("Boot", "Boot"),
        ("o\u0308l", "\u00f6l"),
        ("\u2126", "\u03a9"),
        ("Öl 🧴", "Öl 🧴"),
        ("x" * MAX_NAME_CHARACTERS, "x" * MAX_NAME_CHARACTERS),
    ],
)
def test_a_name_is_kept_in_its_usual_form(text: str, name: str) -> None:
    assert clean_class_name(text) == name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        (" \u00a0 ", "is empty"),
        ("a\nb", "cannot be shown"),
        ("a\tb", "cannot be shown"),
        ("\x1b[2J", "cannot be shown"),
        ("a\x00", "cannot be shown"),
        ("a\u2028b", "cannot be shown"),
        ("\ud800", "cannot be shown"),
        ("\ue000", "cannot be shown"),
        ("x" * 201, "201 characters, at most 200"),
        ("x" * 10_000, "10000 characters, at most 200"),
        (" " * 10_000, "10000 characters, at most 200"),
    ],
)
def test_what_is_no_name_is_refused_in_one_short_line(text: str, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason) as raised:
        clean_class_name(text)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 300


@given(st.text(max_size=300))
def test_every_text_is_refused_or_has_one_form(text: str) -> None:
    try:
        name = clean_class_name(text)
    except ProtocolError:
        return
    assert clean_class_name(name) == name == unicodedata.normalize("NFC", name)
    assert 0 < len(name) <= MAX_NAME_CHARACTERS
    assert "  " not in name
    assert name == name.strip()
    assert "\n" not in name
    assert name.encode().decode() == name
