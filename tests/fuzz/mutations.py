"""Damaged copies of valid inputs: bytes, and the fields of protobuf messages.

Our own loop and not a fuzzer's: atheris has no wheel for each of our Python versions, and
hypothesis needs a millisecond for an example, which is right for records (test_structured.py) and
too slow for a hundred thousand byte strings.
"""

import struct
from collections.abc import Callable
from random import Random

Mutation = Callable[[bytes, Random], bytes]

_MOST_BYTES = 1 << 17  # what an input may grow to by repetition
_INTERESTING = (
    b"",
    b"\x00",
    b"\xff" * 4,
    b"\xff" * 9 + b"\x01",  # the largest varint
    b"\xff" * 11,  # no varint
    b"\x80" * 40,
    struct.pack("<I", 1 << 31),
    struct.pack("<Q", 1 << 63),
    struct.pack("<f", float("nan")),
    struct.pack("<f", float("inf")),
    b"\xed\xa0\x80",  # half of a surrogate pair
    b"../" * 4,
    b"[" * 300,
    b"9" * 400,
)


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """Flip, overwrite, cut, repeat, move or insert at one to four places."""
    for _ in range(random.choice((1, 1, 2, 4))):
        data = random.choice(_OPERATIONS)(data, random)
    return data[:_MOST_BYTES]


def _flip(data: bytes, random: Random) -> bytes:
    if not data:
        return b"\x00"
    changed = bytearray(data)
    changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _overwrite(data: bytes, random: Random) -> bytes:
    at, new = random.randint(0, len(data)), random.choice(_INTERESTING)
    return data[:at] + new + data[at + len(new) :]


def _insert(data: bytes, random: Random) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + random.choice(_INTERESTING) + data[at:]


def _cut(data: bytes, random: Random) -> bytes:
    start, stop = _range(data, random)
    return data[:start] + data[stop:]


def _truncate(data: bytes, random: Random) -> bytes:
    return data[: random.randint(0, len(data))]


def _repeat(data: bytes, random: Random) -> bytes:
    start, stop = _range(data, random)
    return data[:start] + data[start:stop] * random.choice((2, 3, 50)) + data[stop:]


def _move(data: bytes, random: Random) -> bytes:
    start, stop = _range(data, random)
    rest = data[:start] + data[stop:]
    at = random.randint(0, len(rest))
    return rest[:at] + data[start:stop] + rest[at:]


def _noise(data: bytes, random: Random) -> bytes:
    return random.randbytes(random.randint(0, 64))


def _range(data: bytes, random: Random) -> tuple[int, int]:
    start = random.randint(0, len(data))
    return start, min(len(data), start + random.choice((1, 4, 16, 256)))


_OPERATIONS = (_flip, _flip, _overwrite, _insert, _cut, _truncate, _repeat, _move, _noise)


def mutate_fields(data: bytes, random: Random) -> bytes:
    """Drop, repeat, swap or damage whole protobuf fields, also inside of others."""
    fields = split_fields(data)
    if len(fields) < 2 or random.random() < 0.2:
        return mutate_bytes(data, random)
    at = random.randrange(len(fields))
    field = fields[at]
    kind = random.randrange(6)
    if kind == 0:
        fields[at] = b""
    elif kind == 1:
        fields[at] = field * random.choice((2, 100))
    elif kind == 2:
        random.shuffle(fields)
    elif kind == 3:
        other = random.randrange(len(fields))
        fields[at] = field[:1] + fields[other][1:]  # another field's content
    elif kind == 4:
        fields[at] = _with_content(field, mutate_bytes, random)
    else:
        fields[at] = _with_content(field, mutate_fields, random)
    return b"".join(fields)[:_MOST_BYTES]


def _with_content(field: bytes, mutate: Mutation, random: Random) -> bytes:
    if field[0] & 7 != 2:
        return field[:1] + random.choice(_INTERESTING)
    _, start = _varint(field, 1)
    content = mutate(field[start:], random)
    return field[:1] + _as_varint(len(content)) + content


def split_fields(data: bytes) -> list[bytes]:
    """Split a message into its fields; what is no field is the last part."""
    fields: list[bytes] = []
    start = 0
    while start < len(data):
        end = _end_of_field(data, start)
        if not start < end <= len(data):
            return [*fields, data[start:]]
        fields.append(data[start:end])
        start = end
    return fields


def _end_of_field(data: bytes, start: int) -> int:
    kind = data[start] & 7
    _, after_tag = _varint(data, start)
    if kind == 0:
        return _varint(data, after_tag)[1]
    if kind == 2:
        length, content = _varint(data, after_tag)
        return content + length
    return after_tag + {1: 8, 5: 4}.get(kind, len(data))


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            break
    return value, at


def _as_varint(value: int) -> bytes:
    digits = []
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])
