"""The class map: what came of a class, and which maps no registry makes."""

import pytest
from hiertk_protocol.class_map import (
    MAX_MAP_BYTES,
    ClassAlias,
    ClassMap,
    ClassSlot,
    exported_map,
    parse_class_map,
)
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import ClassMap as ClassMapMessage
from hypothesis import given
from hypothesis import strategies as st
from protocol_samples import make_manifest

SLOTS = 8
SNEAKER = ClassSlot(1, "sneaker", aliases=(ClassAlias("trainers", 3, 2), ClassAlias("gym", 4, 3)))
MAP = ClassMap(6, (ClassSlot(0, "shirt"), SNEAKER, ClassSlot(3, "boot", since=6)))


def test_the_exported_map_is_the_manifest_s() -> None:
    exported = exported_map(make_manifest().classes)
    assert exported.version == 1
    assert [(one.slot, one.name, one.since) for one in exported.slots] == [
        (0, "shirt", 1),
        (1, "trousers", 1),
    ]


def test_a_class_is_found_by_its_name_and_by_its_aliases() -> None:
    assert [MAP.find(name) for name in ("sneaker", "trainers", "gym", "hat")] == [
        SNEAKER,
        SNEAKER,
        SNEAKER,
        None,
    ]
    assert SNEAKER.names == ("sneaker", "trainers", "gym")


def test_what_became_of_an_older_version_s_class_is_told_by_slot_and_since() -> None:
    found = {
        (slot, since): MAP.successor(slot, since)
        for slot, since in ((0, 1), (3, 2), (4, 3), (3, 6), (3, 1), (2, 1))
    }
    assert {key: one.name if one else None for key, one in found.items()} == {
        (0, 1): "shirt",
        (3, 2): "sneaker",
        (4, 3): "sneaker",
        (3, 6): "boot",
        (3, 1): None,
        (2, 1): None,
    }


def test_a_map_comes_back_from_its_message() -> None:
    assert parse_class_map(MAP.to_message().SerializeToString(), SLOTS) == MAP


def changed(**fields: int | str) -> ClassMapMessage:
    """Return the map with fields of its last slot changed."""
    message = MAP.to_message()
    for name, value in fields.items():
        setattr(message.slots[-1], name, value)
    return message


def without_version() -> ClassMapMessage:
    return ClassMapMessage(slots=MAP.to_message().slots)


def with_an_alias(name: str) -> ClassMapMessage:
    message = MAP.to_message()
    message.slots[0].aliases.add(name=name, slot=5, since=2)
    return message


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (without_version(), "version 0"),
        (changed(slot=SLOTS), "not in order below 8"),
        (changed(slot=1), "not in order below 8"),
        (changed(slot=0), "not in order below 8"),
        (changed(since=7), "no registry gives"),
        (changed(since=0), "no registry gives"),
        (changed(name="shirt"), "a name is there twice"),
        (changed(name="gym"), "a name is there twice"),
        (changed(name=""), "a class name is empty"),
        (changed(name="a\x07b"), "cannot be shown"),
        (with_an_alias("trainers"), "a name is there twice"),
        (with_an_alias("\u2028"), "cannot be shown"),
    ],
)
def test_a_map_that_no_registry_makes_is_refused(message: ClassMapMessage, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        parse_class_map(message.SerializeToString(), SLOTS)


def test_a_map_larger_than_any_is_refused_before_it_is_read() -> None:
    with pytest.raises(ProtocolError, match="more than"):
        parse_class_map(bytes(MAX_MAP_BYTES + 1), SLOTS)


@given(st.binary(max_size=200))
def test_bytes_of_anyone_s_are_a_usable_map_or_refused(data: bytes) -> None:
    try:
        found = parse_class_map(data, SLOTS)
    except ProtocolError:
        return
    assert parse_class_map(found.to_message().SerializeToString(), SLOTS) == found
    for one in found.slots:
        assert found.find(one.name) is one
