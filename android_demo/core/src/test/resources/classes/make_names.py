"""Make names.json beside this file, for the test of the Kotlin cleanClassName.

It holds what Python's clean_class_name makes of some texts.
"""

import json
from pathlib import Path
from random import Random

from hiertk_protocol.class_names import clean_class_name
from hiertk_protocol.errors import ProtocolError

# Assigned, or not, in each version of Unicode that Python, the JVM and Android 8 and later have.
_SHOWN = (
    "a",
    "Z",
    "7",
    "-",
    "é",
    "e\u0301",
    "\u212b",
    "\u2126",
    "\ufb01",
    "\u0958",
    "\u1112\u1161\u11ab",
    "한",
    "漢",
    "ش",
    "\u0327",
    "\u0301",
    "\U0001f600",
    "\U0001d160",
    "\u200b",
    "\u200d",
    "\u180e",
)
_SPACES = (" ", "  ", "\u00a0", "\u1680", "\u2003", "\u202f", "\u205f", "\u3000")
_FORBIDDEN = (
    "\t",
    "\n",
    "\x00",
    "\x7f",
    "\x85",
    "\u2028",
    "\u2029",
    "\ue000",
    "\uffff",
    "\u0378",
    "\ud800",
    "\U000f0000",
    "\U0010ffff",
)
_LENGTHS = (
    "a" * 200,
    "a" * 201,
    " " * 800,
    " " * 801,
    "e\u0301" * 200,
    "e\u0301" * 201,
    "\U0001f600" * 200,
    "\U0001f600" * 201,
    "a " * 100,
    "a " * 101,
    " " * 300 + "a" * 200 + " " * 300,
    "\u0958" * 101,
)
_COUNT = 400


def _texts() -> list[str]:
    random = Random(8)
    texts = ["", *_SHOWN, *_SPACES, *(f"a{one}b" for one in (*_SPACES, *_FORBIDDEN)), *_LENGTHS]
    while len(texts) < _COUNT:
        kinds = random.choices(
            (_SHOWN, _SPACES, _FORBIDDEN), (60, 30, 1), k=random.randrange(1, 12)
        )
        texts.append("".join(random.choice(kind) for kind in kinds))
    return texts


def _cleaned(text: str) -> str | None:
    try:
        return clean_class_name(text)
    except ProtocolError:
        return None


if __name__ == "__main__":
    lines = [json.dumps([text, _cleaned(text)]) for text in _texts()]
    target = Path(__file__).with_name("names.json")
    target.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="ascii")
