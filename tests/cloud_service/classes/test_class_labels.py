"""Labels of feature batches: judged by the version they state, new names registered on the way."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from cloud_service.classes.class_parts import open_registry
from cloud_service.cloud_parts import DEVICE, MANIFEST, SAMPLES, make_message
from hiertk_cloud.classes.history import NO_CLASS
from hiertk_cloud.classes.labels import Labels
from hiertk_cloud.classes.registry import ClassRegistry
from hiertk_cloud.ingest.ingest import Ingest
from hiertk_cloud.ingest.judge import Judge
from hiertk_cloud.log import Accepted, DurableLog, LogReader, Refused
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.messages import NEW_CLASS, FeatureContract
from hiertk_protocol.topics import Topics

TOPICS = Topics(MANIFEST.deployment)


class Room:
    """A judge with a registry, and what it said of names."""

    def __init__(self, registry: ClassRegistry) -> None:
        self.registry = registry
        self.told: list[str] = []
        self.judge = Judge(MANIFEST, registry, lambda device, why: self.told.append(device + why))

    def stored(self, message: FeatureBatch) -> FeatureBatch:
        answer = self.judge.judge(DEVICE, message.SerializeToString())
        assert isinstance(answer, Accepted), answer
        stored: FeatureBatch = FeatureBatch.FromString(answer.message)
        return stored

    def refusal(self, message: FeatureBatch) -> str:
        answer = self.judge.judge(DEVICE, message.SerializeToString())
        assert isinstance(answer, Refused)
        return answer.reason

    def meaning(self, message: FeatureBatch) -> list[int]:
        """Return what a stored message's labels mean to a trainer at the version that it states."""
        batch = FeatureContract(MANIFEST).check(message)
        version = batch.class_map_version
        found = self.registry.history.translate(
            batch.labels, batch.new_classes, made=version, now=version
        )
        return [int(label) for label in found]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with closing(open_registry(tmp_path)) as registry:
        yield Room(registry)


def batch(
    *labels: int, version: int = 1, names: tuple[str, ...] = (), seq: int = 1
) -> FeatureBatch:
    message = make_message(seq)
    whole = (labels * SAMPLES)[:SAMPLES]
    del message.labels[:]
    message.labels.extend(whole)
    message.class_map_version = version
    message.new_classes.extend(names)
    return message


def test_a_message_without_new_classes_is_stored_as_it_came(room: Room) -> None:
    room.registry.request("boot")
    for message in (batch(0, 1, 2), batch(0, 3, version=2), batch(1, version=0)):
        assert room.stored(message) == message


def test_labels_are_judged_by_the_version_that_the_message_states(room: Room) -> None:
    room.registry.request("boot")
    assert room.refusal(batch(0, 3)) == "label 3 has no class in class map 1"
    assert room.refusal(batch(0, 4, version=2)) == "label 4 has no class in class map 2"
    assert "version 3 was never made, the newest is 2" in room.refusal(batch(0, version=3))
    room.registry.retire("boot")
    assert room.refusal(batch(0, 3, version=3)) == "label 3 has no class in class map 3"


def test_a_retired_class_s_samples_are_stored_unless_there_are_no_others(room: Room) -> None:
    room.registry.retire("cat")
    mixed = batch(0, 1)
    assert room.stored(mixed) == mixed
    assert "retired since class map 1" in room.refusal(batch(0))
    room.registry.merge("dog", "owl")
    assert room.stored(batch(1)) == batch(1)
    assert room.meaning(room.stored(batch(1))) == [1] * SAMPLES  # to a trainer of version 1


def test_a_slot_given_anew_means_the_old_class_in_an_old_message(room: Room) -> None:
    room.registry.retire("cat")
    assert room.registry.request("boot").slot == 0
    assert "retired" in room.refusal(batch(0))
    assert room.stored(batch(0, version=3)) == batch(0, version=3)


def test_a_new_class_is_registered_and_the_message_states_the_version_that_has_it(
    room: Room,
) -> None:
    stored = room.stored(batch(0, NEW_CLASS, NEW_CLASS + 1, names=("boot", "bag")))
    assert stored.class_map_version == 3
    assert set(room.meaning(stored)) == {0, 3, 4}
    assert {change.device for change in room.registry.changes} == {DEVICE}
    assert room.stored(batch(NEW_CLASS, names=("boot",))).class_map_version == 3
    assert room.registry.history.newest.version == 3


def test_a_name_that_no_label_uses_is_not_registered(room: Room) -> None:
    message = batch(0, names=("boot",))
    message.early_exit[0] = NEW_CLASS
    assert room.stored(message) == message
    assert room.registry.history.newest.version == 1


def test_a_name_that_the_stated_version_has_changes_nothing(room: Room) -> None:
    room.registry.request("boot")
    message = batch(NEW_CLASS, version=2, names=("boot",))
    assert room.stored(message) == message
    assert room.meaning(message) == [3] * SAMPLES


def test_a_name_without_a_slot_stays_in_the_message_until_a_version_has_it(room: Room) -> None:
    for number in range(5):
        room.registry.request(f"class {number}")
    stored = room.stored(batch(0, NEW_CLASS, names=("boot",)))
    assert stored.new_classes == ["boot"]
    assert set(room.meaning(stored)) == {0, NO_CLASS}
    room.stored(batch(0, NEW_CLASS, names=("boot",), seq=2))
    (told,) = room.told  # the second one was not tried
    assert told.startswith("pi-1no slot for class 'boot': all class slots of 8 are taken")
    room.registry.retire("class 0")
    room.registry.request("boot")
    history = room.registry.history
    later = history.translate(np.array(stored.labels), ["boot"], made=1, now=history.newest.version)
    assert set(later.tolist()) == {0, 3}


def test_a_stated_version_is_not_raised_over_a_change_of_its_slots(room: Room) -> None:
    """Else a sample of the retired class would count for the one that has its slot now."""
    room.registry.retire("cat")
    assert room.registry.request("hat").slot == 0
    message = batch(0, 1, NEW_CLASS, names=("boot",))
    assert room.stored(message) == message
    assert room.registry.history.newest.find("boot") is not None
    predicted = batch(1, NEW_CLASS, names=("bag",))
    predicted.early_exit[0] = 0
    assert room.stored(predicted) == predicted
    other = batch(1, NEW_CLASS, names=("coat",))
    del other.early_exit[:]
    other.early_exit.extend([1] * SAMPLES)
    assert room.stored(other).class_map_version == room.registry.history.newest.version


def test_without_a_registry_the_exported_classes_are_all(tmp_path: Path) -> None:
    told: list[str] = []
    judge = Judge(MANIFEST, None, lambda _device, why: told.append(why))
    message = batch(0, NEW_CLASS, NEW_CLASS + 1, names=("boot", "dog"))
    answer = judge.judge(DEVICE, message.SerializeToString())
    assert isinstance(answer, Accepted)
    assert FeatureBatch.FromString(answer.message) == message
    assert len(told) == 1  # "dog" has its slot
    assert told[0].startswith("no slot for class 'boot': this service has no registry and keeps")


def test_labels_raise_nothing_but_protocol_errors(room: Room) -> None:
    labels = Labels(room.registry)
    with pytest.raises(ProtocolError):
        labels.take(batch(5))
    with pytest.raises(ProtocolError):
        labels.take(batch(0, version=(1 << 32) - 1))


# With the log


class Intake:
    """An ingest on a real log and a real registry."""

    def __init__(self, folder: Path, registry: ClassRegistry) -> None:
        self.log = DurableLog(folder / "log.sqlite", MANIFEST.bundle_id)
        self.reader = LogReader(folder / "log.sqlite")
        self.told: list[tuple[str, str]] = []
        self.acks: list[bytes] = []
        self.heard: list[str] = []
        self.ingest = Ingest(
            self.log,
            MANIFEST,
            publish=lambda _topic, payload: self.acks.append(payload),
            tell=lambda kind, text: self.told.append((kind, text)),
            classes=registry,
            heard=self.heard.append,
        )

    def take(self, message: FeatureBatch) -> None:
        self.ingest.receive(TOPICS.features(message.device), message.SerializeToString())
        self.ingest.turn()

    def close(self) -> None:
        self.reader.close()
        self.log.close()


@pytest.fixture
def intake(room: Room, tmp_path: Path) -> Iterator[Intake]:
    with closing(Intake(tmp_path, room.registry)) as opened:
        yield opened


def test_the_log_holds_the_message_with_the_version_that_has_its_classes(intake: Intake) -> None:
    intake.take(batch(NEW_CLASS, names=("boot",)))
    intake.log.give_turns()
    entry = intake.reader.at_turn(1)
    assert entry is not None
    assert FeatureBatch.FromString(entry.message).class_map_version == 2
    assert intake.heard == [DEVICE]


def test_names_without_a_slot_are_counted_and_told(room: Room, intake: Intake) -> None:
    for number in range(5):
        room.registry.request(f"class {number}")
    intake.take(batch(0, NEW_CLASS, names=("boot",)))
    assert intake.ingest.names_refused_total == 1
    assert [kind for kind, _ in intake.told] == ["refused-class"]
    assert intake.log.totals.stored == 1


def test_a_disk_too_full_for_a_name_acknowledges_nothing_and_loses_nothing(
    room: Room, intake: Intake
) -> None:
    database = room.registry._database
    database.execute("CREATE TABLE ballast (bytes BLOB)")
    database.execute(
        "CREATE TRIGGER grows AFTER INSERT ON changes BEGIN "
        "INSERT INTO ballast VALUES (zeroblob(100000)); END"
    )
    database.execute("PRAGMA max_page_count = 1")
    message = batch(NEW_CLASS, names=("boot",))
    intake.take(message)
    assert (intake.acks, intake.log.totals.stored) == ([], 0)
    assert intake.told[0][0] == "disk"
    database.execute("PRAGMA max_page_count = 1000000")
    intake.take(message)
    assert (len(intake.acks), intake.log.totals.stored) == (1, 1)
    assert room.registry.request("boot").slot == 3
