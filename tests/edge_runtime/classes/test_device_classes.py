"""The durable table of classes: new names, newer maps, and maps that cannot be believed."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from edge_runtime.classes.class_parts import EXPORTED, Told, class_map, classes_in, manifest_with
from hiertk_edge.classes import ClassInSlot
from hiertk_edge.classes.device_classes import MOST_PROVISIONAL
from hiertk_protocol.class_map import ClassAlias, ClassMap
from hiertk_protocol.errors import ConfigError, ProtocolError, StorageError
from hypothesis import given, settings
from hypothesis import strategies as st

WITH_CUP = class_map(2, {**EXPORTED, 3: ("cup", 2)})


def test_a_new_class_has_a_slot_at_once_and_after_a_restart(tmp_path: Path) -> None:
    classes = classes_in(tmp_path)
    assert [classes.name_new(name) for name in ("cup", "hat", " cup", "green")] == [7, 6, 7, 1]
    again = classes_in(tmp_path)
    assert again.provisional == ("cup", "hat")
    assert [again.table.slot_of(name) for name in ("cup", "hat")] == [7, 6]


def test_threads_that_name_the_same_class_get_the_same_slot(tmp_path: Path) -> None:
    classes = classes_in(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        slots = set(threads.map(classes.name_new, ["cup"] * 40))
    assert slots == {7}


@pytest.mark.parametrize("name", ["", "  ", "a\x07b", "x" * 10_000, "\ud800"])
def test_an_unusable_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProtocolError, match="class name"):
        classes_in(tmp_path).name_new(name)


def test_without_room_a_new_class_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    classes = classes_in(tmp_path, manifest=manifest_with(4))
    classes.name_new("cup")
    with pytest.raises(ConfigError, match=r"all 4 class slots are taken.*hiertk grow"):
        classes.name_new("hat")
    roomy = classes_in(tmp_path / "roomy", manifest=manifest_with(100))
    for number in range(MOST_PROVISIONAL):
        roomy.name_new(f"new {number}")
    with pytest.raises(ConfigError, match="connect the device to its cloud"):
        roomy.name_new("one more")


def test_a_newer_map_is_put_in_place_for_good(tmp_path: Path) -> None:
    classes = classes_in(tmp_path)
    classes.name_new("cup")
    assert classes.take(WITH_CUP)
    assert not classes.take(WITH_CUP), "it is there already"
    for one in (classes, classes_in(tmp_path)):
        assert (one.version, one.provisional, one.table.slot_of("cup")) == (2, (), 3)
    assert classes.ignored == 0


UNBELIEVABLE = {
    "older": class_map(1, EXPORTED),
    "the same version with other classes": class_map(2, EXPORTED),
    "a registry begun anew": class_map(5, {**EXPORTED, 4: ("hat", 2)}),
    "a merge of a class that never was": class_map(
        5, {**EXPORTED, 3: ("cup", 2)}, {3: (ClassAlias("mug", 6, 2),)}
    ),
}


@pytest.mark.parametrize("what", UNBELIEVABLE)
def test_a_map_that_cannot_come_after_this_one_is_ignored_and_told_once(
    tmp_path: Path, what: str
) -> None:
    told = Told()
    classes = classes_in(tmp_path, problems=told)
    classes.take(WITH_CUP)
    for _ in range(3):
        assert not classes.take(UNBELIEVABLE[what])
    assert (classes.table.map, classes.ignored) == (WITH_CUP, 3)
    assert [("restore the cloud's state" in line) for line in told.lines] == [True]
    assert len(told.told) == 1
    assert classes.take(class_map(6, {**EXPORTED, 3: ("cup", 2)}))
    assert told.lines == ()


def test_a_provisional_class_that_finds_no_slot_is_given_up_and_told(tmp_path: Path) -> None:
    told = Told()
    classes = classes_in(tmp_path, manifest=manifest_with(4), problems=told)
    classes.name_new("cup")
    assert classes.take(class_map(2, {**EXPORTED, 3: ("hat", 2)}))
    assert any("'cup' is given up on this device" in line for line in told.lines)


def test_a_damaged_file_is_set_aside_and_what_stores_know_is_opened_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    classes_in(tmp_path).take(WITH_CUP)
    file = tmp_path / "classes.json"
    file.write_text(file.read_text().replace('"slot": 3', '"slot": 2'))
    with caplog.at_level(logging.WARNING):
        classes = classes_in(tmp_path)
    assert "classes.json.damaged-1" in caplog.text
    classes.adopt([ClassInSlot("cup", 2), ClassInSlot("red", 1), ClassInSlot("hat", 0)])
    assert classes.provisional == ("cup", "hat")
    assert classes.take(WITH_CUP)
    assert classes.table.slot_of("cup") == 3
    assert classes.table.provisional == {"hat": 6}


def test_of_another_bundles_file_only_the_new_names_are_taken(tmp_path: Path) -> None:
    classes = classes_in(tmp_path)
    classes.take(WITH_CUP)
    classes.name_new("hat")
    other = classes_in(tmp_path, manifest=manifest_with(5))
    assert (other.version, other.table.provisional) == (1, {"hat": 4})


def test_a_disk_that_refuses_changes_nothing(tmp_path: Path) -> None:
    classes = classes_in(tmp_path)
    (tmp_path / "classes.json").mkdir()
    with pytest.raises(StorageError):
        classes.name_new("cup")
    with pytest.raises(StorageError):
        classes.take(WITH_CUP)
    assert (classes.version, classes.provisional) == (1, ())


names = st.sampled_from(["red", "green", "blue", "cup", "hat", "mug"])


@settings(max_examples=30)
@given(st.lists(st.tuples(names, st.booleans()), max_size=12), st.data())
def test_no_slot_ever_has_two_classes_and_every_class_keeps_its_identity(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, bool]], data: st.DataObject
) -> None:
    """A registry that registers and retires at will, and a device that names classes meanwhile."""
    classes = classes_in(tmp_path_factory.mktemp("state"), manifest=manifest_with(5))
    registry: ClassMap = class_map(1, EXPORTED)
    for name, retires in steps:
        if data.draw(st.booleans()):
            try:
                slot = classes.name_new(name)
            except ConfigError:
                continue
            assert classes.table.name_of(slot) == name
            continue
        before = classes.table
        registry = _changed(registry, name, retires=retires)
        classes.take(registry)
        targets = [t for t in classes.table.moves(before.by_slot).values() if t is not None]
        assert len(set(targets)) == len(targets), "nothing was merged"
        for slot, target in classes.table.moves(before.by_slot).items():
            if target is not None:
                assert classes.table.name_of(target) == before.name_of(slot)
    assert not set(classes.table.provisional.values()) & classes.table.map.by_slot.keys()


def _changed(now: ClassMap, name: str, *, retires: bool) -> ClassMap:
    version = now.version + 1
    slots = {one.slot: (one.name, one.since) for one in now.slots}
    found = now.find(name)
    if retires and found is not None:
        del slots[found.slot]
    elif found is None and len(slots) < 5:
        slots[min(set(range(5)) - slots.keys())] = (name, version)
    else:
        return now
    return class_map(version, slots)
