"""What labels mean from version to version, over random histories."""

import numpy as np
import pytest
from cloud_service.classes.class_parts import NAMES, histories
from cloud_service.cloud_parts import MANIFEST, SLOTS
from hiertk_cloud.classes.changes import Change, Kind, changed, free_slots
from hiertk_cloud.classes.history import NO_CLASS, ClassHistory
from hiertk_protocol.class_map import ClassMap, checked_map, exported_map, parse_class_map
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.messages import NEW_CLASS
from hypothesis import given, settings
from hypothesis import strategies as st

FIRST = exported_map(MANIFEST.classes)
Drawn = tuple[ClassHistory, tuple[Change, ...]]


def after(*changes: Change) -> ClassHistory:
    history = ClassHistory((FIRST,))
    for change in changes:
        history = history.followed_by(changed(history.newest, change, SLOTS))
    return history


def meaning(history: ClassHistory, label: int, made: int, now: int, *names: str) -> int:
    return int(history.translate(np.array([label]), names, made=made, now=now)[0])


def test_a_label_follows_its_class_and_not_its_slot() -> None:
    history = after(
        Change(2, Kind.NAME, 3, "boot"),
        Change(3, Kind.MERGE, 3, "boot", into=1),
        Change(4, Kind.NAME, 3, "bag"),
        Change(5, Kind.RETIRE, 0, "cat"),
        Change(6, Kind.NAME, 0, "hat"),
    )
    assert meaning(history, 3, 2, 2) == 3
    assert meaning(history, 3, 2, 6) == 1
    assert meaning(history, 3, 4, 6) == 3
    assert meaning(history, 0, 1, 4) == 0
    assert meaning(history, 0, 1, 6) == NO_CLASS
    assert meaning(history, 0, 6, 6) == 0
    assert meaning(history, 3, 1, 6) == NO_CLASS  # it had no class then


def test_a_name_is_found_by_what_it_is_now() -> None:
    history = after(Change(2, Kind.NAME, 3, "boot"), Change(3, Kind.MERGE, 3, "boot", into=1))
    found = [meaning(history, NEW_CLASS + 1, 1, now, "other", "boot") for now in (1, 2, 3)]
    assert found == [NO_CLASS, 3, 1]
    assert meaning(history, NEW_CLASS + 2, 1, 3, "other", "boot") == NO_CLASS


def test_a_version_that_was_never_made_is_refused() -> None:
    for made, now in ((2, 1), (1, 2), (0, 1)):
        with pytest.raises(ProtocolError, match="was never made, the newest is 1"):
            ClassHistory((FIRST,)).translate(np.zeros(1, np.int64), (), made=made, now=now)


@settings(max_examples=50)
@given(histories(), st.data())
def test_translating_in_two_steps_is_translating_in_one(drawn: Drawn, data: st.DataObject) -> None:
    history, _ = drawn
    versions = st.integers(1, history.newest.version)
    made, between, now = sorted(data.draw(st.tuples(versions, versions, versions)))
    labels = np.array([one.slot for one in history.at(made).slots], np.int64)
    direct = history.translate(labels, (), made=made, now=now)
    halfway = history.translate(labels, (), made=made, now=between)
    kept = halfway != NO_CLASS
    assert (direct[~kept] == NO_CLASS).all()
    again = history.translate(halfway[kept], (), made=between, now=now)
    assert again.tolist() == direct[kept].tolist()


@settings(max_examples=50)
@given(histories())
def test_every_version_survives_its_message_and_its_checks(drawn: Drawn) -> None:
    for version in drawn[0].versions:
        assert parse_class_map(version.to_message().SerializeToString(), SLOTS) == version
        assert checked_map(version.to_message(), SLOTS) == version


@settings(max_examples=50)
@given(histories())
def test_a_class_is_what_became_of_it_or_of_what_it_was_merged_into(drawn: Drawn) -> None:
    """Told from the changes alone, by following each class through them."""
    history, changes = drawn
    for start in history.versions:
        for one in start.slots:
            name: str | None = one.name
            for change in changes[start.version - 1 :]:
                if change.kind is Kind.RETIRE and change.name == name:
                    name = None
                elif change.kind is Kind.MERGE and change.name == name:
                    before = history.at(change.version - 1)
                    name = before.by_slot[-1 if change.into is None else change.into].name
            found = history.newest.successor(one.slot, one.since)
            assert (found.name if found else None) == name


@settings(max_examples=50)
@given(histories(), st.lists(st.integers(0, 14)))
def test_a_slot_is_free_once_every_device_has_confirmed_that_its_class_is_gone(
    drawn: Drawn, confirmed: list[int]
) -> None:
    history, changes = drawn
    free = free_slots(history.newest, changes, SLOTS, confirmed)
    assert sorted((*free.ready, *free.waiting)) == [
        slot for slot in range(SLOTS) if slot not in history.newest.by_slot
    ]
    for slot in free.waiting:
        # Somebody may still have a version in which a class has it.
        assert any(
            slot in version.by_slot
            for version in history.versions
            if version.version >= min(confirmed)
        )
    for slot in free.ready:
        oldest = min(confirmed, default=history.newest.version)
        assert not any(
            slot in version.by_slot for version in history.versions if version.version >= oldest
        ) or not any(change.slot == slot for change in changes)


@pytest.mark.parametrize(
    "change",
    [
        Change(3, Kind.NAME, 3, "boot"),
        Change(2, Kind.NAME, 2, "boot"),
        Change(2, Kind.NAME, SLOTS, "boot"),
        Change(2, Kind.NAME, -1, "boot"),
        Change(2, Kind.NAME, 3, "cat"),
        Change(2, Kind.NAME, 3, " boot"),
        Change(2, Kind.RETIRE, 3, "boot"),
        Change(2, Kind.RETIRE, 0, "dog"),
        Change(2, Kind.MERGE, 0, "cat", into=0),
        Change(2, Kind.MERGE, 0, "cat", into=7),
        Change(2, Kind.MERGE, 0, "cat"),
    ],
)
def test_a_change_that_cannot_follow_is_refused(change: Change) -> None:
    with pytest.raises(ProtocolError):
        changed(FIRST, change, SLOTS)


def test_versions_stay_as_they_were() -> None:
    history = after(*(Change(2 + n, Kind.NAME, 3 + n, name) for n, name in enumerate(NAMES)))
    assert history.at(1) == FIRST
    assert [len(version.slots) for version in history.versions] == [3, 4, 5, 6, 7]
    assert isinstance(history.newest, ClassMap)
