"""One class map through all stores of a device, and killed between any two of them."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from edge_runtime.classes.class_parts import EXPORTED, MANIFEST, Told, class_map, classes_in
from edge_runtime.rehearsal.rehearsal_parts import sample
from hiertk_edge.classes import DeviceClasses
from hiertk_edge.classes.exit_moves import move_rows
from hiertk_edge.classes.following import ClassFollowing
from hiertk_edge.images import normalize
from hiertk_edge.prediction.calibration import NOT_CALIBRATED
from hiertk_edge.rehearsal import RehearsalMemory
from hiertk_edge.rehearsal.batches import Wanted
from hiertk_edge.sources import Labelled
from hiertk_edge.training.checkpoints import Checkpoints
from hiertk_edge.training.turns import Turns
from hiertk_protocol.class_map import ClassAlias, ClassMap
from hiertk_protocol.errors import StorageError
from hiertk_protocol.new_class import ExitRow
from numpy_learner import NumpyLearner


@dataclass
class Stores:
    """A device's stores, as they are opened one after another at its start."""

    folder: Path
    classes: DeviceClasses
    memory: RehearsalMemory
    checkpoints: Checkpoints
    learner: NumpyLearner
    told: Told

    def following(self) -> ClassFollowing:
        return ClassFollowing(self.classes, self.learner, Turns(), self.memory, self.told)

    def save(self) -> None:
        self.checkpoints.save(self.learner, NOT_CALIBRATED)

    def by_name(self) -> dict[str, tuple[int, float]]:
        """Samples, and the row's mark, of each class that has either."""
        table = self.classes.table
        counts = {slot: one.held for slot, one in self.memory.counts.items() if one.held}
        slots = sorted(self.learner.open_slots)
        marks = dict(zip(slots, (r.bias for r in self.learner.exit_rows(slots)), strict=True))
        assert counts.keys() | marks.keys() <= table.by_slot.keys(), "nothing is without a class"
        return {
            one.name: (counts.get(slot, 0), marks.get(slot, 0.0))
            for slot, one in table.by_slot.items()
            if slot in counts or slot in marks
        }


@contextmanager
def stores_in(folder: Path) -> Iterator[Stores]:
    told = Told()
    classes = classes_in(folder, problems=told)
    memory = RehearsalMemory(
        folder / "memory.sqlite", manifest=MANIFEST, classes=classes, max_bytes=1 << 20
    )
    with closing(memory):
        checkpoints = Checkpoints(folder / "checkpoints", MANIFEST.bundle_id, classes)
        learner, _ = checkpoints.open(lambda path: NumpyLearner(MANIFEST, path))
        assert isinstance(learner, NumpyLearner)
        yield Stores(folder, classes, memory, checkpoints, learner, told)


MARKS = {"red": 1.0, "green": 2.0, "blue": 3.0, "cup": 4.0, "hat": 5.0}


def prepare(folder: Path) -> None:
    """Two provisional classes beside the bundle's; 5 samples and a marked row of each."""
    with stores_in(folder) as stores:
        channels = len(stores.learner.exit_rows([0])[0].weight)
        for start, (name, mark) in enumerate(MARKS.items()):
            slot = stores.classes.name_new(name)
            stores.learner.open_slot(slot, ExitRow(np.full(channels, mark, np.float32), mark))
            for number in range(5 * start, 5 * start + 5):
                stores.memory.offer(Labelled(sample(number).pixels, name, name))
        stores.save()


# The new slots are those of the other provisional class: 6 was the hat's, 7 the cup's. Red was
# retired and its slot given to a bowl; blue was merged into green.
NEWER = class_map(
    9,
    {0: ("bowl", 9), 1: ("green", 1), 6: ("cup", 3), 7: ("hat", 2)},
    {1: (ClassAlias("blue", 2, 1),)},
)
EXPECTED = {"green": (10, 2.0), "cup": (5, 4.0), "hat": (5, 5.0)}


def payload(newer: ClassMap) -> bytes:
    data: bytes = newer.to_message().SerializeToString()
    return data


def test_a_map_goes_through_all_stores_and_is_confirmed(tmp_path: Path) -> None:
    prepare(tmp_path)
    with stores_in(tmp_path) as stores:
        following = stores.following()
        assert (following.follow(), following.confirmed) == ({}, 1)
        following.hand(payload(NEWER))
        assert following.confirmed == 1, "only the agent's thread puts it in place"
        assert following.follow() == {0: None, 2: 1, 6: 7, 7: 6}
        assert (following.confirmed, stores.by_name()) == (9, EXPECTED)
        assert following.follow() == {}
    with stores_in(tmp_path) as stores:
        assert (stores.following().confirmed, stores.by_name()) == (9, EXPECTED)


@pytest.mark.parametrize(("memory", "exit_", "saved"), list(product([False, True], repeat=3)))
def test_killed_between_any_two_stores_all_agree_at_the_next_start(
    tmp_path: Path, *, memory: bool, exit_: bool, saved: bool
) -> None:
    """The table is written first; each other store had followed it, or had not."""
    prepare(tmp_path)
    with stores_in(tmp_path) as stores:
        before = stores.classes.table
        assert stores.classes.take(NEWER)
        if memory:
            stores.memory.follow()
        if exit_:
            move_rows(stores.learner, before.by_slot, stores.classes.table)
            if saved:
                stores.save()
    for _ in range(2):
        with stores_in(tmp_path) as stores:
            assert (stores.classes.version, stores.by_name()) == (9, EXPECTED)


@pytest.mark.parametrize("lost", ["classes.json", "checkpoints", "memory.sqlite"])
def test_a_lost_store_takes_no_other_with_it(tmp_path: Path, lost: str) -> None:
    prepare(tmp_path)
    with stores_in(tmp_path) as stores:
        following = stores.following()
        following.hand(payload(NEWER))
        following.follow()
        stores.save()
    (tmp_path / lost).rename(tmp_path / "gone")
    for _ in range(2):
        with stores_in(tmp_path) as stores:
            following = stores.following()
            following.hand(payload(NEWER))
            following.follow()
            found = stores.by_name()
    samples = {name: held for name, (held, _) in found.items() if held}
    marks = {name: mark for name, (_, mark) in found.items() if mark}
    if lost != "memory.sqlite":
        assert samples == {"green": 10, "cup": 5, "hat": 5}
    if lost != "checkpoints":
        assert marks == {name: mark for name, (_, mark) in EXPECTED.items()}


def test_the_older_generation_of_checkpoints_is_brought_up_to_date_too(tmp_path: Path) -> None:
    prepare(tmp_path)
    with stores_in(tmp_path) as stores:
        following = stores.following()
        following.hand(payload(NEWER))
        following.follow()
        stores.save()
    newest = max((tmp_path / "checkpoints").iterdir())
    (newest / "learner").write_bytes(b"torn")
    with stores_in(tmp_path) as stores:
        assert stores.by_name() == EXPECTED


def test_while_the_disk_refuses_nothing_changes_and_nothing_is_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)
    monkeypatch.setattr("hiertk_edge.classes.following._RETRY_S", 0.0)
    file = tmp_path / "classes.json"
    with stores_in(tmp_path) as stores:
        following, before = stores.following(), stores.by_name()
        file.rename(tmp_path / "kept")
        file.mkdir()
        following.hand(payload(NEWER))
        assert following.follow() == {}
        assert (following.confirmed, stores.by_name()) == (1, before)
        assert any("the classes stay as they are" in line for line in stores.told.lines)
        file.rmdir()
        (tmp_path / "kept").rename(file)
        following.follow()
        assert (following.confirmed, stores.by_name(), stores.told.lines) == (9, EXPECTED, ())


def test_a_version_is_confirmed_only_once_the_memory_has_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)
    monkeypatch.setattr("hiertk_edge.classes.following._RETRY_S", 0.0)
    with stores_in(tmp_path) as stores:
        following = stores.following()
        following.hand(payload(NEWER))
        stores.memory._file._database.execute("PRAGMA query_only = ON")  # as on a disk that refuses
        assert following.follow() != {}
        assert following.confirmed == 1
        with pytest.raises(StorageError):
            stores.memory.next_batch(Wanted(4))
        stores.memory._file._database.execute("PRAGMA query_only = OFF")
        following.follow()
        assert (following.confirmed, stores.by_name()) == (9, EXPECTED)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\xff\xff",
        payload(class_map(0, EXPORTED)),
        payload(class_map(3, {**EXPORTED, 4096: ("cup", 2)})),
        payload(class_map(3, {**EXPORTED, 3: ("cup", 4)})),
        payload(class_map(3, {**EXPORTED, 3: ("red", 2)})),
        payload(class_map(3, {**EXPORTED, 3: ("a\0b", 2)})),
    ],
)
def test_a_map_that_no_registry_makes_is_counted_and_told(tmp_path: Path, damaged: bytes) -> None:
    with stores_in(tmp_path) as stores:
        following = stores.following()
        following.hand(damaged)
        assert following.follow() == {}
        assert (stores.classes.version, stores.classes.ignored) == (1, 1)
        assert any("a class map is ignored" in line for line in stores.told.lines)


def test_what_was_learned_is_said_under_the_new_slot(tmp_path: Path) -> None:
    with stores_in(tmp_path) as stores:
        slot = stores.classes.name_new("cup")
        pixels = np.zeros((6, 16, 16, 3), np.uint8)
        pixels[::2, ..., 1] = pixels[1::2, ..., 0] = 200
        images = normalize(pixels, MANIFEST.input)
        stores.learner.open_slot(slot)
        labels = np.array([slot, 0, slot, 0, slot, 0])
        for _ in range(60):
            stores.learner.step(images, labels)
        before = stores.learner.evaluate(images)
        following = stores.following()
        following.hand(payload(class_map(2, {**EXPORTED, 3: ("cup", 2)})))
        following.follow()
        after = stores.learner.evaluate(images)
        assert before.predictions.tolist() == labels.tolist()
        assert after.predictions.tolist() == [3, 0, 3, 0, 3, 0]
        assert np.array_equal(after.logits[:, 3], before.logits[:, slot])
