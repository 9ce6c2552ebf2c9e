"""The files stay within the bytes that were asked for, whatever the size of the images."""

from pathlib import Path

import pytest
from edge_runtime.rehearsal.rehearsal_parts import manifest_of, open_memory, sample, train_all
from hiertk_edge.rehearsal.batches import Wanted
from hiertk_edge.rehearsal.cells import Place
from hiertk_edge.rehearsal.room import MOST_SAMPLES, PAGE_BYTES, Room, plan_room


def room(size: int, max_bytes: int = 16 << 20, **changes: float) -> Room:
    return plan_room(
        3 * size * size,
        max_bytes=max_bytes,
        max_waiting=int(changes.get("max_waiting", 64)),
        held_out_share=changes.get("held_out_share", 0.1),
        class_slots=10,
    )


# Sizes around the borders of SQLite's layout: several rows a page, one, and overflow pages.
@pytest.mark.parametrize("size", [8, 16, 28, 36, 37, 52, 96])
def test_the_files_never_grow_beyond_their_bound(path: Path, size: int) -> None:
    max_bytes = 36 * max(PAGE_BYTES, 3 * size * size)
    manifest = manifest_of(size=size)
    with open_memory(
        path, manifest=manifest, max_bytes=max_bytes, max_waiting=16, held_out_share=0.2
    ) as memory:
        bound = memory.max_file_bytes
        planned = memory._room.samples
        for number in range(int(1.4 * planned)):
            assert memory.offer(sample(number, number % 3, size=size))
            if memory.waiting == 16:
                batch = memory.next_batch(Wanted(16))
                assert batch is not None
                memory.trained(batch)
                assert memory.bytes <= bound
        kept = [memory._held.cells.count(place) for place in (Place.RESERVOIR, Place.HELD_OUT)]
        assert kept == [memory._room.reservoir, memory._room.held_out], "all room is used"
    assert path.stat().st_size <= max_bytes + 16 * (3 * size * size + PAGE_BYTES)


@pytest.mark.slow
def test_the_default_takes_at_most_16_mib_for_what_is_kept(path: Path) -> None:
    with open_memory(path, manifest=manifest_of(size=32), held_out_share=0.1) as memory:
        for number in range(5500):
            assert memory.offer(sample(number, number % 3, size=32))
            if memory.waiting == 64 or number == 5000:
                train_all(memory, size=64)
            assert memory.bytes <= memory.max_file_bytes < 22_000_000
        assert 15 << 20 < path.stat().st_size < (16 << 20) + 512 * 4200


def test_most_of_the_bytes_are_pixels() -> None:
    for size, share in ((16, 0.85), (32, 0.7), (64, 0.9), (224, 0.9)):
        planned = room(size)
        kept = planned.reservoir + planned.held_out
        assert share < kept * 3 * size * size / (16 << 20) < 1


def test_without_bytes_there_is_a_waiting_room_only() -> None:
    planned = room(32, 0)
    assert (planned.reservoir, planned.held_out, planned.waiting) == (0, 0, 64)


def test_the_number_of_samples_is_bounded_too() -> None:
    assert room(8, 1 << 50).samples <= MOST_SAMPLES
