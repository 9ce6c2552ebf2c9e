"""A device that has seen nothing yet rehearses the images that its bundle brings along."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from edge_configs import edge_config
from edge_runtime.rehearsal.rehearsal_parts import (
    SIZE,
    fresh_in,
    manifest_of,
    numbers_in,
    sample,
)
from hiertk_edge.classes.table import exported_table
from hiertk_edge.device import run_device
from hiertk_edge.rehearsal import RehearsalMemory, Wanted
from hiertk_edge.rehearsal.exported import ExportedSample, first_samples, read_exported
from hiertk_edge.watch import Watch
from hiertk_protocol.bundle import MANIFEST, REHEARSAL, Bundle, describe_file, open_bundle
from hiertk_protocol.errors import BundleError
from numpy_learner import NumpyLearner
from safetensors.numpy import save_file

PER_CLASS = 40
NUMBERS = range(1000, 1000 + 3 * PER_CLASS)
ALL = Wanted(200)


def bundle_with(folder: Path, tensors: dict[str, np.ndarray] | None = None) -> Bundle:
    """A bundle with images of three classes, or with this in their place."""
    if tensors is None:
        images = np.stack([sample(number).pixels for number in NUMBERS])
        tensors = {"images": images, "slots": np.array([n % 3 for n in NUMBERS], np.int64)}
    (folder / REHEARSAL).parent.mkdir(parents=True)
    save_file(tensors, folder / REHEARSAL)
    files = {REHEARSAL: describe_file(folder / REHEARSAL)}
    (folder / MANIFEST).write_bytes(manifest_of().model_copy(update={"files": files}).to_json())
    return open_bundle(folder)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return bundle_with(tmp_path / "bundle")


@pytest.fixture
def memories(bundle: Bundle, path: Path) -> partial[RehearsalMemory]:
    """Opens the memory of a device with that bundle."""
    return partial(
        RehearsalMemory, path, manifest=bundle.manifest, exported=partial(read_exported, bundle)
    )


def kept_in(memory: RehearsalMemory) -> set[int]:
    return set(numbers_in(memory.kept_batch(ALL, 0).pixels))


def test_a_new_memory_begins_with_them_and_nothing_waits(
    memories: partial[RehearsalMemory],
) -> None:
    memory = memories(held_out_share=0)
    assert {slot: one.reservoir for slot, one in memory.counts.items()} == dict.fromkeys(
        range(3), PER_CLASS
    )
    assert kept_in(memory) == set(NUMBERS)
    batch = memory.kept_batch(ALL, 0)
    assert batch.slots.tolist() == [number % 3 for number in numbers_in(batch.pixels)]
    assert (memory.waiting, memory.next_batch(ALL)) == (0, None)


def test_they_are_held_out_by_the_rule_for_all_images(memories: partial[RehearsalMemory]) -> None:
    memory = memories(held_out_share=0.2)
    held_out = {n for pixels, _ in memory.held_out(7) for n in numbers_in(pixels)}
    assert 0.1 * len(NUMBERS) < len(held_out) < 0.3 * len(NUMBERS)
    assert held_out | kept_in(memory) == set(NUMBERS)
    assert not held_out & kept_in(memory)


def test_they_come_once_and_what_is_shown_then_is_new(memories: partial[RehearsalMemory]) -> None:
    memory = memories(held_out_share=0)
    assert memory.offer(sample(5, slot=1))
    memory.close()
    again = memories(held_out_share=0)
    batch = again.next_batch(Wanted(8))
    assert fresh_in(batch) == [5]
    assert batch is not None
    assert len(batch.slots) == 8
    again.trained(batch)
    assert kept_in(again) == {5, *NUMBERS}
    assert sum(one.reservoir for one in again.counts.values()) == len(NUMBERS) + 1


def test_a_small_memory_keeps_some_of_each_class(memories: partial[RehearsalMemory]) -> None:
    memory = memories(held_out_share=0, max_bytes=96 << 10)
    kept = [one.reservoir for one in memory.counts.values()]
    assert 30 < sum(kept) < len(NUMBERS)
    assert max(kept) - min(kept) <= 1
    assert memory.bytes <= memory.max_file_bytes


def test_a_bound_of_0_keeps_none_of_them(memories: partial[RehearsalMemory]) -> None:
    assert memories(max_bytes=0).counts == {}


def test_a_damaged_memory_begins_anew_with_them(
    memories: partial[RehearsalMemory], path: Path
) -> None:
    path.write_bytes(b"no database" * 1000)
    memory = memories(held_out_share=0)
    assert kept_in(memory) == set(NUMBERS)
    assert memory.offer(sample(5))
    assert fresh_in(memory.next_batch(Wanted(1, rehearsed_share=0))) == [5]


def test_a_failure_on_the_way_leaves_no_half(
    memories: partial[RehearsalMemory], bundle: Bundle
) -> None:
    def cut_short() -> Iterator[ExportedSample]:
        for number, one in enumerate(read_exported(bundle)):
            if number == 7:
                raise BundleError("the card was pulled")
            yield one

    with pytest.raises(BundleError, match="pulled"):
        memories(exported=cut_short)
    assert kept_in(memories(held_out_share=0)) == set(NUMBERS)


def test_images_of_a_class_that_is_gone_are_left_out() -> None:
    table = exported_table(manifest_of(names=("red", "black"), capacity=4).classes)
    exported = [ExportedSample(bytes(3), name) for name in ("red", "green", "black")]
    assert [one.row.slot for one in first_samples(exported, table, 0.1)] == [0, 1]


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"images": np.zeros((2, SIZE, SIZE, 3), np.uint8)}, "slots"),
        ({"images": np.zeros((2, 8, 8, 3), np.uint8), "slots": np.zeros(2, np.int64)}, "8, 8"),
        ({"images": np.zeros((2, SIZE, SIZE, 3)), "slots": np.zeros(2, np.int64)}, "F64"),
        (
            {"images": np.zeros((1, SIZE, SIZE, 3), np.uint8), "slots": np.full(1, 3)},
            "an image of no class",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, tensors: dict[str, np.ndarray], reason: str
) -> None:
    bundle = bundle_with(tmp_path / "bundle", tensors)
    with pytest.raises(BundleError, match=rf"samples\.safetensors.*{reason}.*export .* again"):
        list(read_exported(bundle))


def test_a_bundle_without_images_brings_none(tmp_path: Path) -> None:
    assert list(read_exported(Bundle(tmp_path, manifest_of()))) == []


def test_a_device_has_them_from_its_first_start(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    config = edge_config(
        bundle.folder, tmp_path / "state", streams=(f"watch:{tmp_path / 'inbox'}",)
    )
    seen: list[int] = []

    def open_engine(opened: Bundle, _threads: int, _checkpoint: Path | None) -> NumpyLearner:
        return NumpyLearner(opened.manifest)

    run_device(
        config,
        Watch(lambda: bool(seen), lambda status: seen.append(status.edge_step)),
        open_engine=open_engine,
    )
    memory = RehearsalMemory(tmp_path / "state/memory.sqlite", manifest=bundle.manifest)
    assert sum(one.held for one in memory.counts.values()) == len(NUMBERS)
    assert seen[0] == 0
