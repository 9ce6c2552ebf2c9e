"""The registry: one slot for one name, for ever in its file, and no slot given anew too early."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cloud_service.classes.class_parts import confirm, open_registry
from cloud_service.cloud_parts import CLASSES, MANIFEST, SLOTS, make_manifest
from hiertk_cloud.classes import devices, limits
from hiertk_cloud.classes.limits import NAMES_A_DAY
from hiertk_cloud.classes.registry import ClassRegistry
from hiertk_cloud.log import DiskFullError
from hiertk_protocol.class_map import ClassAlias
from hiertk_protocol.class_requests import GivenSlot
from hiertk_protocol.errors import ConfigError, ProtocolError, StorageError
from hiertk_protocol.manifest import ClassInfo


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[ClassRegistry]:
    with closing(open_registry(tmp_path)) as opened:
        yield opened


def fill(registry: ClassRegistry) -> None:
    for slot in range(len(CLASSES), SLOTS):
        assert registry.request(f"class {slot}").slot == slot


def test_it_begins_with_the_exported_classes(registry: ClassRegistry) -> None:
    newest = registry.history.newest
    assert (newest.version, tuple(one.name for one in newest.slots)) == (1, CLASSES)
    assert registry.request("owl") == GivenSlot(2, 1)


def test_a_name_gets_the_lowest_free_slot_once(registry: ClassRegistry) -> None:
    assert registry.request("boot", "pi-1") == GivenSlot(3, 2)
    assert registry.request("bag", "pi-2") == GivenSlot(4, 3)
    assert registry.request("  boot ", "pi-2") == GivenSlot(3, 2)
    assert registry.history.newest.version == 3


def test_a_name_that_cannot_be_one_is_refused(registry: ClassRegistry) -> None:
    for name in ("", "a\x07b", "x" * 10_000):
        with pytest.raises(ProtocolError):
            registry.request(name)
    assert registry.history.newest.version == 1


def test_what_it_gave_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    with closing(open_registry(tmp_path)) as first:
        first.request("boot", "pi-1")
        first.merge("dog", "boot")
        first.retire("cat")
        confirm(first, pi=3)
    with closing(open_registry(tmp_path)) as again:
        assert again.history == first.history
        assert again.changes == first.changes
        assert again.devices == first.devices
    with closing(ClassRegistry.existing(tmp_path / "classes.sqlite")) as alone:
        assert alone.history == first.history
        assert alone.capacity == SLOTS


def test_whoever_asks_at_once_for_one_name_gets_one_slot(tmp_path: Path) -> None:
    """Two registries on one file, as a service and a command have, several threads each."""
    given: list[tuple[str, GivenSlot]] = []
    start = threading.Barrier(6)

    def ask(registry: ClassRegistry) -> None:
        start.wait()
        given.extend((name, registry.request(name)) for name in ("boot", "bag", "hat"))

    with closing(open_registry(tmp_path)) as one, closing(open_registry(tmp_path)) as other:
        asking = [threading.Thread(target=ask, args=(found,)) for found in (one, other) * 3]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        one.refresh()
        other.refresh()
        assert one.history == other.history
    assert len(given) == 18
    assert len(set(given)) == 3
    assert one.history.newest.version == 4


def test_a_merged_class_is_an_alias_with_all_that_was_merged_into_it(
    registry: ClassRegistry,
) -> None:
    registry.request("boot")
    registry.merge("boot", "cat")
    assert registry.merge("cat", "dog").name == "dog"
    found = registry.history.newest.find("boot")
    assert found is not None
    assert found.aliases == (ClassAlias("cat", 0, 1), ClassAlias("boot", 3, 2))
    assert registry.request("boot") == GivenSlot(1, 4)  # version 1 does not know that name


def test_merging_and_retiring_again_changes_nothing(registry: ClassRegistry) -> None:
    for _ in range(2):
        registry.merge("cat", "dog")
    assert [registry.retire("owl") for _ in range(2)] == [True, False]
    assert registry.history.newest.version == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda registry: registry.merge("boot", "dog"), "no class 'boot'"),
        (lambda registry: registry.merge("dog", "boot"), "no class 'boot'"),
        (lambda registry: registry.merge("cat", "owl"), "'cat' is an alias of class 'dog': merge"),
        (lambda registry: registry.retire("cat"), "'cat' is an alias of class 'dog': retire"),
        (lambda registry: registry.retire("boot"), "no class 'boot'"),
        (lambda registry: registry.retire("owl") and registry.retire("dog"), "the last class"),
    ],
)
def test_what_makes_no_sense_is_refused(
    registry: ClassRegistry, change: Callable[[ClassRegistry], object], reason: str
) -> None:
    registry.merge("cat", "dog")
    with pytest.raises(ConfigError, match=reason):
        change(registry)


def test_a_retired_name_comes_back_as_a_new_class(registry: ClassRegistry) -> None:
    registry.request("boot")
    registry.retire("boot")
    assert registry.request("boot") == GivenSlot(3, 4)
    assert registry.history.newest.successor(3, 2) is None


def test_a_slot_is_given_anew_only_when_every_known_device_has_confirmed(
    registry: ClassRegistry,
) -> None:
    fill(registry)
    confirm(registry, a=6, b=6, c=0)
    registry.retire("dog")
    for versions in ({"a": 7, "b": 6}, {"b": 7}, {"c": 6}):
        confirm(registry, **versions)
        with pytest.raises(ProtocolError, match=r"1 more wait for device [abc] to confirm"):
            registry.request("boot")
    confirm(registry, c=7)
    assert registry.request("boot") == GivenSlot(1, 8)


def test_a_device_that_is_forgotten_is_not_waited_for(registry: ClassRegistry) -> None:
    fill(registry)
    confirm(registry, a=7, gone=1)
    registry.merge("dog", "cat")
    with pytest.raises(ProtocolError, match="for device gone to confirm: hiertk grow BUNDLE"):
        registry.request("boot")
    assert [registry.forget_device("gone") for _ in range(2)] == [True, False]
    assert registry.request("boot") == GivenSlot(1, 8)


def test_without_devices_a_slot_is_free_at_once(registry: ClassRegistry) -> None:
    registry.retire("cat")
    assert registry.request("boot") == GivenSlot(0, 3)


def test_a_device_that_says_nothing_of_a_version_keeps_what_it_confirmed(
    registry: ClassRegistry,
) -> None:
    confirm(registry, a=4)
    confirm(registry, a=0)
    assert [one.version for one in registry.devices] == [4]
    confirm(registry, a=2)  # its state was lost
    assert [one.version for one in registry.devices] == [2]


def test_only_so_many_devices_are_known(
    registry: ClassRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "MAX_DEVICES", 3)
    confirm(registry, a=1, b=1, c=1)
    confirm(registry, d=0)
    assert [one.name for one in registry.devices] == ["a", "b", "c"]


def test_full_is_said_with_what_to_do(registry: ClassRegistry) -> None:
    fill(registry)
    with pytest.raises(
        ProtocolError, match=r"all class slots of 8 are taken: hiertk grow BUNDLE --class-capacity"
    ):
        registry.request("boot")
    assert registry.request("class 7").slot == 7


def test_one_device_names_only_so_many_a_day(tmp_path: Path) -> None:
    classes = ClassInfo(names=("one",), capacity=NAMES_A_DAY + 10)
    manifest = MANIFEST.model_copy(update={"classes": classes})
    with closing(ClassRegistry.open(tmp_path / "classes.sqlite", manifest)) as registry:
        for number in range(NAMES_A_DAY):
            registry.request(f"class {number}", "pi-1")
        with pytest.raises(ProtocolError, match="pi-1 named 64 classes in a day"):
            registry.request("one more", "pi-1")
        registry.request("class 3", "pi-1")
        registry.request("one more", "pi-2")
        registry.request("another")


def test_a_map_that_its_message_could_not_hold_is_not_made(
    registry: ClassRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = registry.history.newest.to_message().ByteSize() + 40
    monkeypatch.setattr(limits, "MAX_MAP_BYTES", room)
    with pytest.raises(ProtocolError, match="take shorter names"):
        registry.request("x" * 40)
    registry.request("boot")
    registry.retire("boot")


def test_a_command_s_change_is_taken_up(tmp_path: Path) -> None:
    with closing(open_registry(tmp_path)) as service:
        assert not service.refresh()
        with closing(ClassRegistry.existing(tmp_path / "classes.sqlite")) as command:
            command.retire("cat")
            confirm(command, a=1)
        assert service.refresh()
        assert service.history.newest.find("cat") is None
        assert [one.name for one in service.devices] == ["a"]
        assert not service.refresh()


# What may be wrong with the file


def spoil(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE changes SET version = 9 WHERE version = 3",
        "UPDATE changes SET slot = 0 WHERE version = 2",
        "UPDATE changes SET slot = 'x'",
        "UPDATE changes SET kind = 'x'",
        "UPDATE changes SET name = 'a' || char(7)",
        "UPDATE changes SET name = 'dog'",
        "DELETE FROM changes WHERE version = 2",
        "DELETE FROM owner",
        "UPDATE owner SET bundle_id = 7",
        "DROP TABLE devices",
        "UPDATE devices SET version = 'x'",
        "PRAGMA user_version = 0",
    ],
)
def test_a_damaged_file_is_told_with_what_to_do(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "classes.sqlite"
    with closing(open_registry(tmp_path)) as registry:
        registry.request("boot")
        registry.request("bag")
        confirm(registry, a=1)
    spoil(path, statement)
    with pytest.raises(StorageError, match=r"classes\.sqlite: .* restore the whole") as raised:
        open_registry(tmp_path)
    assert "\n" not in str(raised.value)


def test_garbage_and_a_later_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "classes.sqlite"
    path.write_bytes(b"overwritten " * 1000)
    with pytest.raises(StorageError, match="not a database: restore"):
        open_registry(tmp_path)
    path.unlink()
    open_registry(tmp_path).close()
    spoil(path, "PRAGMA user_version = 2")
    with pytest.raises(StorageError, match="use the hiertk-cloud that wrote it"):
        open_registry(tmp_path)


def test_another_bundle_s_classes_are_refused(tmp_path: Path) -> None:
    open_registry(tmp_path).close()
    with pytest.raises(ConfigError, match="holds the classes of bundle"):
        ClassRegistry.open(tmp_path / "classes.sqlite", make_manifest(split=2))


def test_without_a_file_there_is_nothing_to_open_without_its_bundle(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name the state folder of a service"):
        ClassRegistry.existing(tmp_path / "classes.sqlite")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_refuses_and_changes_nothing(registry: ClassRegistry) -> None:
    registry._database.execute("PRAGMA max_page_count = 1")
    many = {f"device-{number}": 1 for number in range(500)}
    with pytest.raises(DiskFullError, match="make room"):
        confirm(registry, **many)
    assert registry.devices == ()
    registry._database.execute("PRAGMA max_page_count = 1000000")
    confirm(registry, **many)
    assert len(registry.devices) == 500
    assert registry.request("boot") == GivenSlot(3, 2)
