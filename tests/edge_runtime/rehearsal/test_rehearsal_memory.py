import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from edge_runtime.rehearsal.rehearsal_parts import (
    SIZE,
    SMALL_BYTES,
    fresh_in,
    held_out_in,
    manifest_of,
    numbers_in,
    open_memory,
    sample,
    train_all,
)
from hiertk_edge.rehearsal import ClassCounts, MixedBatch, RehearsalMemory, Wanted
from hiertk_edge.sources import Intake, Labelled
from hiertk_protocol.errors import ConfigError

OFFER_AND_TRAIN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from edge_runtime.rehearsal.rehearsal_parts import fresh_in, open_memory, sample
from hiertk_edge.rehearsal import Wanted
with open_memory(Path(sys.argv[1]), max_bytes=1 << 18) as memory:
    for number in range(1, 1_000_000):
        assert memory.offer(sample(number, number % 3))
        print("offered", number, flush=True)
        if memory.waiting == 8:
            batch = memory.next_batch(Wanted(8))
            print("next", *fresh_in(batch), flush=True)
            memory.trained(batch)
            print("trained", *fresh_in(batch), flush=True)
"""


def test_samples_wait_in_the_order_of_arrival(path: Path) -> None:
    with open_memory(path) as memory:
        for number in (5, 3, 9):
            assert memory.offer(sample(number, slot=number % 3))
        batch = memory.next_batch(Wanted(8))
        assert batch is not None
        assert fresh_in(batch) == [5, 3, 9]
        assert batch.slots.tolist() == [2, 0, 0]
        assert batch.slots.dtype == np.int64
        assert batch.fresh == 3
        assert memory.next_batch(Wanted(8), at_least=4) is None


def test_nothing_is_taken_out_before_it_was_trained(path: Path) -> None:
    with open_memory(path) as memory:
        for number in range(6):
            memory.offer(sample(number))
        first, second = memory.next_batch(Wanted(4)), memory.next_batch(Wanted(4))
        assert fresh_in(first) == fresh_in(second) == [0, 1, 2, 3]
        assert first is not None
        memory.trained(first)
        assert fresh_in(memory.next_batch(Wanted(4, rehearsed_share=0))) == [4, 5]
        assert memory.counts == {0: ClassCounts(seen=4, reservoir=4, waiting=2)}


def test_a_batch_counts_once_however_often_it_is_told(path: Path) -> None:
    with open_memory(path) as memory:
        for number in range(6):
            memory.offer(sample(number))
        batch = memory.next_batch(Wanted(4))
        assert batch is not None
        memory.trained(batch)
        memory.trained(batch)
        assert memory.counts == {0: ClassCounts(seen=4, reservoir=4, waiting=2)}


def test_fresh_samples_are_mixed_with_rehearsed_ones_of_all_classes(path: Path) -> None:
    with open_memory(path) as memory:
        for number in range(60):
            memory.offer(sample(number, slot=0 if number < 50 else 1))
        train_all(memory)
        for number in range(100, 120):
            memory.offer(sample(number, slot=2))
        batch = memory.next_batch(Wanted(16, rehearsed_share=0.5))
        assert batch is not None
        assert fresh_in(batch) == [100, 101, 102], "of one class no more than its part"
        assert sorted(Counter(batch.slots[batch.fresh :].tolist()).items()) in (
            [(0, 6), (1, 7)],
            [(0, 7), (1, 6)],
        )
        assert set(numbers_in(batch.pixels[batch.fresh :])) < set(range(60))
        assert len(set(batch.ids.tolist())) == 16


def test_fresh_samples_of_mixed_classes_take_their_whole_share(path: Path) -> None:
    with open_memory(path) as memory:
        for number in range(30):
            memory.offer(sample(number, slot=number % 3))
        train_all(memory)
        for number in range(100, 120):
            memory.offer(sample(number, slot=number % 3))
        batch = memory.next_batch(Wanted(16, rehearsed_share=0.5))
        assert batch is not None
        assert fresh_in(batch) == list(range(100, 108))


def test_where_others_fill_up_the_memory_gives_its_classes_their_part_alone(path: Path) -> None:
    with open_memory(path) as memory:
        for number in range(30):
            memory.offer(sample(number, slot=2))
        wanted = Wanted(16, rehearsed_share=0.5, elsewhere=frozenset({0, 1, 3, 4}))
        first = memory.next_batch(wanted)
        assert first is not None
        assert (first.fresh, len(first.slots)) == (2, 2), "2 of 16: an eighth"
        memory.trained(first)
        second = memory.next_batch(wanted)
        assert second is not None
        assert (second.fresh, len(second.slots)) == (2, 4), "both that are kept are rehearsed"


def test_a_batch_for_practice_has_kept_samples_of_all_classes_alone(path: Path) -> None:
    with open_memory(path) as memory:
        assert len(memory.kept_batch(Wanted(8), 1).slots) == 0
        for number in range(20):
            memory.offer(sample(number, slot=number % 2))
        train_all(memory)
        memory.offer(sample(99, slot=0))
        batch = memory.kept_batch(Wanted(8), 1)
        assert batch.fresh == 0
        assert Counter(batch.slots.tolist()) == {0: 4, 1: 4}
        assert set(numbers_in(batch.pixels)) < set(range(20))
        assert memory.kept_batch(Wanted(8), 2).ids.tolist() != batch.ids.tolist()


def test_whichever_kind_is_short_the_other_fills_the_batch(path: Path) -> None:
    with open_memory(path) as memory:
        for number in range(8):
            memory.offer(sample(number))
        assert fresh_in(memory.next_batch(Wanted(8, rehearsed_share=0.5))) == list(range(8))
        train_all(memory)
        memory.offer(sample(10))
        batch = memory.next_batch(Wanted(8, rehearsed_share=0.25))
        assert batch is not None
        assert (batch.fresh, len(batch.slots)) == (1, 8)


def test_a_full_waiting_room_takes_no_more_until_training_went_on(path: Path) -> None:
    with open_memory(path, max_waiting=4) as memory:
        assert [memory.offer(sample(number)) for number in range(6)] == [True] * 4 + [False] * 2
        batch = memory.next_batch(Wanted(2))
        assert batch is not None
        memory.trained(batch)
        assert [memory.offer(sample(number)) for number in (4, 5, 6)] == [True, True, False]
        assert train_all(memory) == [2, 3, 4, 5]


def test_an_image_that_is_there_already_is_not_stored_twice(path: Path) -> None:
    with open_memory(path) as memory:
        for _ in range(3):
            assert memory.offer(sample(1, slot=0))
        assert memory.offer(sample(1, slot=1)), "another label is another sample"
        assert memory.waiting == 2
        train_all(memory)
        assert memory.offer(sample(1, slot=0))
        assert memory.waiting == 0
        assert memory.counts[0] == ClassCounts(seen=1, reservoir=1)


def test_all_is_there_again_after_a_reopening(path: Path) -> None:
    with open_memory(path, held_out_share=0.2, max_bytes=SMALL_BYTES) as memory:
        for number in range(300):
            memory.offer(sample(number, number % 3))
            if number < 280 and memory.waiting == 8:
                train_all(memory)
        before = (memory.counts, held_out_in(memory))
    with open_memory(path, held_out_share=0.2, max_bytes=SMALL_BYTES) as memory:
        assert (memory.counts, held_out_in(memory)) == before
        assert train_all(memory)[-1] > 290


def test_a_resumed_run_draws_what_an_uninterrupted_one_draws(tmp_path: Path) -> None:
    def feed(memory: RehearsalMemory, part: int) -> MixedBatch:
        for number in range(part * 10, part * 10 + 10):
            memory.offer(sample(number, 0 if number % 7 else number % 3))
        batch = memory.next_batch(Wanted(16, rehearsed_share=0.5))
        assert batch is not None
        memory.trained(batch)
        return batch

    with open_memory(tmp_path / "one", max_bytes=160 << 10) as memory:
        whole = [feed(memory, part) for part in range(25)]
    for part, wanted in enumerate(whole):
        with open_memory(tmp_path / "many", max_bytes=160 << 10) as memory:
            batch = feed(memory, part)
        assert np.array_equal(batch.ids, wanted.ids)
        assert np.array_equal(batch.pixels, wanted.pixels)
    assert any(batch.fresh < len(batch.ids) for batch in whole)


@pytest.mark.parametrize("attempt", range(3))
def test_nothing_is_lost_or_trained_twice_after_kill_9(path: Path, attempt: int) -> None:
    tests = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", OFFER_AND_TRAIN, str(path), tests], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(130 + 17 * attempt)]
        process.kill()
        lines += process.stdout.readlines()
    told: dict[str, list[int]] = {"offered": [], "next": [], "trained": []}
    for line in lines:
        if line.endswith("\n"):
            event, *numbers = line.split()
            told[event] += map(int, numbers)
    assert len(told["offered"]) > 80
    with open_memory(path, max_bytes=SMALL_BYTES) as memory:
        waiting = train_all(memory, rehearsed_share=0)
    # It may have been killed between a commit and the line that tells of it.
    stored = (told["offered"], [*told["offered"], told["offered"][-1] + 1])
    assert any(taken + waiting in stored for taken in (told["trained"], told["next"]))


def test_waiting_ends_with_the_sample_that_makes_it_enough(path: Path) -> None:
    with open_memory(path) as memory:
        two = Wanted(2, rehearsed_share=0)
        assert not memory.wait(0.01, two)
        memory.offer(sample(1))
        assert memory.wait(0, Wanted(1))
        assert not memory.wait(0.01, two)
        timer = threading.Timer(0.05, memory.offer, (sample(2),))
        timer.start()
        started = time.monotonic()
        assert memory.wait(30, two)
        assert time.monotonic() - started < 10
        timer.join()


def test_streams_in_several_threads_and_training_do_not_disturb_each_other(path: Path) -> None:
    with open_memory(path, max_waiting=32, max_bytes=SMALL_BYTES) as memory:

        def push(intake: Intake, first: int) -> None:
            for number in range(first, first + 100):
                while not intake.offer(sample(number, number % 3)):
                    time.sleep(0.001)

        streams = [threading.Thread(target=push, args=(memory, first)) for first in (0, 1000, 2000)]
        for stream in streams:
            stream.start()
        trained: list[int] = []
        while len(trained) < 300:
            assert memory.wait(30, Wanted(1))
            batch = memory.next_batch(Wanted(16))
            assert batch is not None
            trained += fresh_in(batch)
            memory.trained(batch)
        for stream in streams:
            stream.join()
        assert sorted(trained) == [first + n for first in (0, 1000, 2000) for n in range(100)]


def test_held_out_samples_never_train(path: Path) -> None:
    with open_memory(path, held_out_share=0.2) as memory:
        for number in range(200):
            assert memory.offer(sample(number, number % 3))
        held_out = held_out_in(memory)
        assert 20 < len(held_out) < 60
        assert all(slot == number % 3 for number, slot in held_out.items())
        trained = train_all(memory)
        assert sorted(trained + list(held_out)) == list(range(200))
        for number in range(200):
            memory.offer(sample(number, number % 3))
        assert memory.waiting == 0
        assert held_out_in(memory) == held_out


def test_which_samples_are_held_out_does_not_depend_on_their_order(tmp_path: Path) -> None:
    found = []
    for name, order in (("a", range(100)), ("b", range(99, -1, -1))):
        with open_memory(tmp_path / name, held_out_share=0.2) as memory:
            for number in order:
                memory.offer(sample(number, number % 3))
            found.append(held_out_in(memory))
    assert found[0] == found[1]


def test_a_full_held_out_share_stays_balanced_and_never_trains_the_rest(path: Path) -> None:
    with open_memory(path, held_out_share=0.5, max_bytes=100_000) as memory:
        room = memory._room.held_out
        assert 5 < room < 40
        offered = 12 * room
        for number in range(offered):
            slot = 0 if number < 6 * room else number % 3
            assert memory.offer(sample(number, slot))
            train_all(memory)
        counts = memory.counts
        assert sum(one.held_out for one in counts.values()) == room
        held = [one.held_out for one in counts.values()]
        assert max(held) - min(held) <= 1
        seen = sum(one.seen for one in counts.values())
        assert 0.4 < seen / offered < 0.6, "half of all images never train, held out or not"


def test_without_bytes_samples_wait_and_are_gone_after_training(path: Path) -> None:
    with open_memory(path, max_bytes=0, held_out_share=0.5) as memory:
        for number in range(20):
            memory.offer(sample(number))
        assert train_all(memory) == list(range(20))
        assert memory.counts == {0: ClassCounts(seen=20)}
        memory.offer(sample(3))
        batch = memory.next_batch(Wanted(8))
        assert batch is not None
        assert len(batch.slots) == 1


def test_a_forgotten_class_leaves_nothing_on_the_disk(path: Path) -> None:
    with open_memory(path, max_bytes=SMALL_BYTES, held_out_share=0.1) as memory:
        for number in range(400):
            memory.offer(sample(number, number % 2))
            if number % 50 == 49 and number < 390:
                train_all(memory)
        memory.forget(1)
        kept = [sample(n, 0).pixels.tobytes() for n in range(0, 400, 2)]
        gone = [sample(n, 1).pixels.tobytes() for n in range(1, 400, 2)]
        files = b"".join(one.read_bytes() for one in path.parent.iterdir())
        assert any(pixels[:200] in files for pixels in kept)
        assert not any(pixels[:200] in files for pixels in gone)
        assert set(memory.counts) == {0}
        assert memory.offer(sample(3, 1))
        assert memory.counts[1] == ClassCounts(waiting=1)
        assert all(number % 2 == 0 or number == 3 for number in train_all(memory))
    with open_memory(path, max_bytes=SMALL_BYTES, held_out_share=0.1) as memory:
        assert memory.counts[1] == ClassCounts(seen=1, reservoir=1)


def test_a_class_forgotten_between_batch_and_training_stays_forgotten(path: Path) -> None:
    with open_memory(path) as memory:
        for number in range(8):
            memory.offer(sample(number, number % 2))
        batch = memory.next_batch(Wanted(8))
        assert batch is not None
        memory.forget(1)
        memory.trained(batch)
        assert memory.counts == {0: ClassCounts(seen=4, reservoir=4)}


def test_a_lowered_bound_makes_the_file_smaller_and_keeps_what_waits(path: Path) -> None:
    with open_memory(path, max_bytes=1 << 20, held_out_share=0.2) as memory:
        for number in range(1400):
            memory.offer(sample(number, 0 if number % 5 else 1 + number % 2))
            if memory.waiting == 100 and number < 1300:
                train_all(memory, size=32)
        waiting = memory.waiting
        large = path.stat().st_size
        before = memory.counts
    for _ in range(2):
        with open_memory(path, max_bytes=SMALL_BYTES, max_waiting=20, held_out_share=0.1) as memory:
            assert waiting > 20
            assert memory.waiting == waiting
            counts = memory.counts
            assert max(c.reservoir for c in counts.values()) <= 1 + min(
                c.reservoir for c in counts.values()
            )
            assert sum(c.reservoir for c in counts.values()) == memory._room.reservoir
            assert sum(c.held_out for c in counts.values()) == memory._room.held_out
            assert [c.seen for c in counts.values()] == [c.seen for c in before.values()]
            assert path.stat().st_size < large / 2
            assert not memory.offer(sample(5000, 0))
    with open_memory(path, max_bytes=SMALL_BYTES, max_waiting=20, held_out_share=0.1) as memory:
        assert len(train_all(memory)) == waiting
    with open_memory(path, max_bytes=SMALL_BYTES, max_waiting=20, held_out_share=0.1) as memory:
        assert memory.bytes <= memory.max_file_bytes
        assert path.stat().st_size <= SMALL_BYTES + 20 * 1024
        assert held_out_in(memory)
        memory.offer(sample(6000, 0))
        batch = memory.next_batch(Wanted(64))
        assert batch is not None
        assert len(numbers_in(batch.pixels)) == 64


def test_a_raised_bound_makes_room(path: Path) -> None:
    with open_memory(path, max_bytes=80 << 10) as memory:
        for number in range(200):
            memory.offer(sample(number))
        train_all(memory)
        small = memory.counts[0].reservoir
    with open_memory(path) as memory:
        for number in range(200, 300):
            memory.offer(sample(number))
        train_all(memory)
        assert memory.counts[0].reservoir == small + 100


def test_another_bundle_with_the_same_input_and_classes_takes_it_over(path: Path) -> None:
    with open_memory(path) as memory:
        memory.offer(sample(1))
        memory.offer(sample(2, slot=1))
    more = manifest_of(names=("green", "black", "blue", "red"), capacity=8)
    with open_memory(path, manifest=more) as memory:
        assert {slot: one.waiting for slot, one in memory.counts.items()} == {0: 1, 3: 1}
        assert memory.offer(sample(3, slot=3))
    with pytest.raises(ConfigError, match=r"its class 'black' is none of .* remove the file"):
        RehearsalMemory(path, manifest=manifest_of())
    with open_memory(path, manifest=more) as memory:
        assert memory.waiting == 3


def test_a_bundle_that_does_not_fit_is_refused_and_told_what_to_do(path: Path) -> None:
    with open_memory(path):
        pass
    with pytest.raises(ConfigError, match=r"16x16, the bundle's 32x32: take that bundle or"):
        RehearsalMemory(path, manifest=manifest_of(size=32))
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["puce", "", "red\0"])
def test_a_label_that_is_no_class_is_refused(path: Path, name: str) -> None:
    unknown = Labelled(sample(1).pixels, name, "camera")
    with open_memory(path) as memory, pytest.raises(ConfigError, match="is no class"):
        memory.offer(unknown)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((SIZE, SIZE), np.uint8),
        np.zeros((SIZE + 1, SIZE, 3), np.uint8),
        np.zeros((3, SIZE, SIZE), np.uint8),
        np.zeros((SIZE, SIZE, 3), np.float32),
    ],
)
def test_pixels_of_another_shape_are_refused(path: Path, pixels: np.ndarray) -> None:
    with open_memory(path) as memory:
        with pytest.raises(ConfigError, match=r"camera: pixels must be \(16, 16, 3\) uint8"):
            memory.offer(Labelled(pixels, "red", "camera"))
        assert memory.waiting == 0


def test_impossible_settings_are_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match="max_waiting 0 between 1 and 65536"):
        RehearsalMemory(path, manifest=manifest_of(), max_waiting=0)


def test_pixels_may_lie_in_memory_in_any_order(path: Path) -> None:
    turned = Labelled(np.flip(sample(1).pixels, 1), "red", "camera")
    with open_memory(path) as memory:
        memory.offer(turned)
        batch = memory.next_batch(Wanted(1))
        assert batch is not None
        assert np.array_equal(batch.pixels[0], turned.pixels)


def test_nobody_else_may_read_the_images(path: Path) -> None:
    with open_memory(path) as memory:
        memory.offer(sample(1))
        modes = {stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
        assert modes == {0o600}
