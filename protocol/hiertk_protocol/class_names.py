"""Names of classes: what one may be.

Case and form of the characters count: the classes of a bundle may be letters. Other spellings of
one class are merged by whoever keeps the class map.
"""

import unicodedata

from hiertk_protocol.errors import ProtocolError

MAX_NAME_CHARACTERS = 200
_SHOWN = 40
# Control characters, line and paragraph separators, surrogates, private and unassigned ones.
_FORBIDDEN = frozenset({"Cc", "Zl", "Zp", "Cs", "Co", "Cn"})


def clean_class_name(text: str) -> str:
    """Return a name as it is kept: NFC, with single spaces and none around it.

    Raises ProtocolError if it is empty, too long, or has characters that no line can show.
    """
    if len(text) > 4 * MAX_NAME_CHARACTERS:  # before anything is done with all of it
        raise ProtocolError(_too_long(text))
    if any(unicodedata.category(character) in _FORBIDDEN for character in text):
        raise ProtocolError(f"the class name {text[:_SHOWN]!r} has characters that cannot be shown")
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name:
        raise ProtocolError("a class name is empty")
    if len(name) > MAX_NAME_CHARACTERS:
        raise ProtocolError(_too_long(text))
    return name


def _too_long(text: str) -> str:
    return (
        f"the class name {text[:_SHOWN]!r}... has {len(text)} characters, "
        f"at most {MAX_NAME_CHARACTERS} are allowed"
    )
