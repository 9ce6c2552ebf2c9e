"""The rehearsal memory follows the classes: samples move, merge and are forgotten."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from edge_parts import CLASSES
from edge_runtime.classes.class_parts import EXPORTED, MANIFEST, class_map, classes_in
from edge_runtime.rehearsal.rehearsal_parts import (
    SMALL_BYTES,
    held_out_in,
    numbers_in,
    sample,
    train_all,
)
from hiertk_edge.classes import DeviceClasses
from hiertk_edge.rehearsal import RehearsalMemory, Wanted
from hiertk_edge.sources import Labelled
from hiertk_protocol.class_map import ClassAlias
from hiertk_protocol.errors import ConfigError

WITH_CUP = class_map(2, {**EXPORTED, 3: ("cup", 2)})


@contextmanager
def memory_of(
    path: Path, classes: DeviceClasses, *, held_out_share: float = 0.3
) -> Iterator[RehearsalMemory]:
    memory = RehearsalMemory(
        path,
        manifest=MANIFEST,
        classes=classes,
        max_bytes=SMALL_BYTES,
        held_out_share=held_out_share,
    )
    with closing(memory):
        yield memory


def show(memory: RehearsalMemory, label: str, numbers: range) -> None:
    for number in numbers:
        assert memory.offer(Labelled(sample(number).pixels, label, f"sample {number}"))


def held_by_slot(memory: RehearsalMemory) -> dict[int, int]:
    return {slot: one.held for slot, one in memory.counts.items() if one.held}


def all_numbers(memory: RehearsalMemory) -> dict[int, int]:
    """Everything that can be drawn or measured on, by number: its slot."""
    found = held_out_in(memory)
    batch = memory.next_batch(Wanted(1000, rehearsed_share=0.99))
    assert batch is not None
    return found | dict(zip(numbers_in(batch.pixels), batch.slots.tolist(), strict=True))


def test_samples_of_a_provisional_class_move_to_its_slot(path: Path, tmp_path: Path) -> None:
    classes = classes_in(tmp_path)
    classes.name_new("cup")
    with memory_of(path, classes) as memory:
        show(memory, "cup", range(40))
        train_all(memory)
        show(memory, "red", range(40, 60))
        before = memory.counts[7]
        assert before.reservoir
        assert before.held_out
        classes.take(WITH_CUP)
        memory.follow()
        assert (memory.counts[3], held_by_slot(memory)) == (before, {0: 20, 3: 40})
        found = all_numbers(memory)
        assert found == {number: 3 if number < 40 else 0 for number in range(60)}
        show(memory, "cup", range(40))
        assert memory.counts[3].held == 40, "the same images are still known"
        assert memory.damaged == 0


@pytest.mark.parametrize("when", ["while it runs", "at its next opening"])
def test_whoever_asks_next_lets_it_follow(path: Path, tmp_path: Path, when: str) -> None:
    classes = classes_in(tmp_path)
    classes.name_new("cup")
    with memory_of(path, classes) as memory:
        show(memory, "cup", range(10))
        if when == "while it runs":
            classes.take(WITH_CUP)
            show(memory, "cup", range(10, 12))
            assert held_by_slot(memory) == {3: 12}
            return
    classes.take(WITH_CUP)
    with memory_of(path, classes) as memory:
        assert held_by_slot(memory) == {3: 10}


def test_merged_classes_are_one_and_their_counts_add_up(path: Path, tmp_path: Path) -> None:
    classes = classes_in(tmp_path)
    with memory_of(path, classes) as memory:
        show(memory, "red", range(20))
        show(memory, "green", range(20, 50))
        train_all(memory)
        seen = memory.counts[0].seen + memory.counts[1].seen
        newer = class_map(2, {1: ("green", 1), 2: ("blue", 1)}, {1: (ClassAlias("red", 0, 1),)})
        classes.take(newer)
        memory.follow()
        assert (held_by_slot(memory), memory.counts[1].seen) == ({1: 50}, seen)
        show(memory, "red", range(20))
        assert held_by_slot(memory) == {1: 50}, "known under the alias, too"
    with memory_of(path, classes) as memory:
        show(memory, "green", range(50, 52))
        assert set(all_numbers(memory).values()) == {1}
        assert (held_by_slot(memory), memory.counts[1].seen) == ({1: 52}, seen)


def test_a_retired_classes_images_leave_the_disk(path: Path, tmp_path: Path) -> None:
    classes = classes_in(tmp_path)
    with memory_of(path, classes) as memory:
        show(memory, "red", range(20))
        show(memory, "green", range(20, 40))
        train_all(memory)
        classes.take(class_map(2, {1: ("green", 1), 2: ("blue", 1)}))
        memory.follow()
        assert held_by_slot(memory) == {1: 20}
        data = path.read_bytes() + path.with_name(path.name + "-wal").read_bytes()
        assert not any(sample(number).pixels.tobytes() in data for number in range(20))
        with pytest.raises(ConfigError, match="is no class of this device now"):
            show(memory, "red", range(1))


def test_a_slot_that_is_used_again_has_nothing_of_its_first_class(
    path: Path, tmp_path: Path
) -> None:
    classes = classes_in(tmp_path)
    with memory_of(path, classes) as memory:
        show(memory, "red", range(20))
        train_all(memory)
    classes.take(class_map(9, {0: ("hat", 8), 1: ("green", 1), 2: ("blue", 1)}))
    with memory_of(path, classes) as memory:
        assert held_by_slot(memory) == {}
        assert memory.counts == {}
        show(memory, "hat", range(10))
        assert held_by_slot(memory) == {0: 10}


def test_a_wiping_that_was_cut_short_goes_on_at_the_next_opening(
    path: Path, tmp_path: Path
) -> None:
    classes = classes_in(tmp_path)
    with memory_of(path, classes) as memory:
        show(memory, "red", range(20))
        show(memory, "green", range(20, 40))
    with closing(sqlite3.connect(path)) as database, database:  # as after its first transaction
        database.execute("UPDATE labels SET slot = -1 WHERE name = 'red'")
    with memory_of(path, classes) as memory:
        assert held_by_slot(memory) == {1: 20}
        assert memory.damaged == 0
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT name FROM labels").fetchall() == [("green",)]
    assert not any(sample(number).pixels.tobytes() in path.read_bytes() for number in range(20))


def test_a_memory_that_is_ahead_of_the_classes_loses_nothing(path: Path, tmp_path: Path) -> None:
    """classes.json was lost, or restored from an older copy."""
    classes = classes_in(tmp_path)
    classes.name_new("cup")
    with memory_of(path, classes) as memory:
        show(memory, "cup", range(10))
        classes.take(WITH_CUP)
        memory.follow()
    (tmp_path / "classes.json").unlink()
    classes = classes_in(tmp_path)
    with memory_of(path, classes) as memory:
        assert classes.table.provisional == {"cup": 7}
        assert held_by_slot(memory) == {7: 10}
        classes.take(WITH_CUP)
        memory.follow()
        assert held_by_slot(memory) == {3: 10}


def test_a_memory_of_before_there_were_new_classes_is_taken_over(
    path: Path, tmp_path: Path
) -> None:
    classes = classes_in(tmp_path)
    with memory_of(path, classes) as memory:
        for slot, name in enumerate(CLASSES):
            show(memory, name, range(10 * slot, 10 * slot + 10))
        before = memory.counts
    make_old(path)
    with memory_of(path, classes) as memory:
        assert memory.counts == before
        assert all_numbers(memory) == {number: number // 10 for number in range(30)}
        show(memory, "green", range(10, 20))
        assert memory.counts == before, "the same images are known"


def make_old(path: Path, names: tuple[str, ...] = CLASSES) -> None:
    """Turn a file into what was written before: the names' digest in place of labels."""
    digest = hashlib.sha256("\0".join((f"{len(names)}", *names)).encode()).digest()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(
            "ALTER TABLE owner ADD COLUMN class_count; ALTER TABLE owner ADD COLUMN class_names;"
            "DROP TABLE labels; PRAGMA user_version = 1"
        )
        database.execute("UPDATE owner SET class_count = ?, class_names = ?", (len(names), digest))


def test_an_old_memory_of_other_classes_is_refused(path: Path, tmp_path: Path) -> None:
    with memory_of(path, classes_in(tmp_path)) as memory:
        show(memory, "red", range(3))
    make_old(path, ("green", "red", "blue"))
    with (
        pytest.raises(ConfigError, match="its 3 classes are others than the bundle's first"),
        memory_of(path, classes_in(tmp_path)),
    ):
        pass


def test_moving_writes_no_pixels(path: Path, tmp_path: Path) -> None:
    classes = classes_in(tmp_path)
    classes.name_new("cup")
    with memory_of(path, classes) as memory:
        show(memory, "cup", range(100))
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        classes.take(WITH_CUP)
        memory.follow()
        log = path.with_name(path.name + "-wal").stat().st_size
    assert log < 40_000 < 100 * np.prod(sample(0).pixels.shape)
