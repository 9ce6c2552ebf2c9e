"""A watched folder: every image once, whatever happens to files, folders, disks and processes."""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from edge_parts import CLASSES, make_manifest
from hiertk_edge.images import read_file, read_image, resize
from hiertk_edge.sources import FixedLabels
from hiertk_edge.sources.watch import WatchedFolder
from hiertk_edge.sources.watched_folder import Rhythm
from source_parts import Basket, Told, image_of, wait_for, write_classes, write_image

INFO = make_manifest().input
QUICK = Rhythm(look_s=0.03, settle_s=0.05)

Open = Callable[..., WatchedFolder]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def basket() -> Basket:
    return Basket()


@pytest.fixture
def watch(tmp_path: Path, told: Told) -> Iterator[Open]:
    """Opens the stream of tmp_path/in; all are stopped at the end."""
    opened = []

    def open_stream(*, deletes: bool = False, rhythm: Rhythm = QUICK) -> WatchedFolder:
        stream = WatchedFolder(
            tmp_path / "in",
            FixedLabels(CLASSES),
            INFO,
            memory=tmp_path / "watched.sqlite",
            problems=told.problems,
            deletes=deletes,
            rhythm=rhythm,
        )
        opened.append(stream)
        return stream

    yield open_stream
    for stream in opened:
        stream.stop()
        stream.stop()  # again is harmless


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def stop_counted(stream: WatchedFolder) -> int:
    stream.stop()
    return stream.counts.taken


def test_images_of_subfolders_are_taken_as_the_toolkit_would_see_them(
    watch: Open, folder: Path, basket: Basket
) -> None:
    write_classes(folder, 3)
    stream = watch()
    stream.start(basket)
    wait_for(lambda: len(basket.names) == 9)
    for sample in basket.samples:
        path = Path(sample.origin)
        assert sample.label == path.parent.name
        assert np.array_equal(sample.pixels, resize(read_image(path), INFO))
    assert stream.counts.taken == 9


def test_an_image_without_a_folder_waits_for_its_sidecar(
    watch: Open, folder: Path, basket: Basket
) -> None:
    write_image(folder, "cup7.png", 1)
    write_image(folder / "red", "other.png", 0)
    watch().start(basket)
    wait_for(lambda: basket.names == ["other.png"])
    (folder / "cup7.txt").write_bytes(b"\xef\xbb\xbfgreen\r\n")
    wait_for(lambda: basket.names == ["cup7.png", "other.png"])
    assert sorted(basket.slots) == [0, 1]


def test_new_files_and_new_subfolders_are_seen(watch: Open, folder: Path, basket: Basket) -> None:
    watch().start(basket)
    write_image(folder / "blue", "a.png", 2)
    wait_for(lambda: basket.names == ["a.png"])
    write_image(folder / "blue", "b.png", 2)
    wait_for(lambda: basket.names == ["a.png", "b.png"])


def test_a_file_that_is_written_anew_is_a_new_image(
    watch: Open, folder: Path, basket: Basket
) -> None:
    path = write_image(folder / "red", "a.png", 0)
    watch(rhythm=Rhythm(look_s=0.03, settle_s=0.05, full_look_s=0.2)).start(basket)
    wait_for(lambda: len(basket.names) == 1)
    image_of(0, size=20).save(path)
    wait_for(lambda: len(basket.names) == 2)


def test_a_file_that_is_still_being_written_is_left(
    watch: Open, folder: Path, basket: Basket
) -> None:
    whole = write_image(folder / "red", "a.png", 0).read_bytes()
    slow = folder / "red" / "slow.png"
    slow.touch()
    stream = watch(rhythm=Rhythm(look_s=0.03, settle_s=0.3))
    stream.start(basket)
    for end in range(0, len(whole) + 10, 10):
        with slow.open("ab") as file:
            file.write(whole[end : end + 10])
        time.sleep(0.05)
    wait_for(lambda: basket.names == ["a.png", "slow.png"])
    assert stream.counts.bad == 0


def test_what_was_taken_is_remembered_and_what_came_meanwhile_is_taken(
    watch: Open, folder: Path, basket: Basket
) -> None:
    write_classes(folder, 2)
    first = watch()
    first.start(basket)
    wait_for(lambda: len(basket.names) == 6)
    first.stop()
    write_image(folder / "red", "later.png", 0)
    second = watch()
    second.start(basket)
    wait_for(lambda: "later.png" in basket.names)
    time.sleep(0.3)
    assert second.counts.taken == 1
    assert len(basket.names) == 7


def test_taken_files_can_be_deleted_with_their_sidecars(
    watch: Open, folder: Path, basket: Basket
) -> None:
    write_image(folder / "red", "a.png", 0)
    write_image(folder, "b.png", 1)
    (folder / "b.txt").write_text("green")
    (folder / "red" / "broken.png").write_bytes(b"\x89PNG")
    stream = watch(deletes=True)
    stream.start(basket)
    wait_for(lambda: sorted(p.name for p in folder.rglob("*.*")) == ["broken.png"])
    wait_for(lambda: stream.counts.bad == 1)
    assert stream.counts.taken == 2


def test_damaged_images_are_counted_once_even_after_a_restart(
    watch: Open, folder: Path, basket: Basket, caplog: pytest.LogCaptureFixture
) -> None:
    whole = write_image(folder / "red", "a.png", 0).read_bytes()
    (folder / "red" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "red" / "empty.jpg").touch()
    first = watch()
    first.start(basket)
    wait_for(lambda: first.counts.bad == 2)
    write_image(folder / "red", "b.png", 0)
    wait_for(lambda: len(basket.names) == 2)
    first.stop()
    second = watch()
    second.start(basket)
    write_image(folder / "red", "c.png", 0)
    wait_for(lambda: len(basket.names) == 3)
    assert (first.counts.bad, second.counts.bad) == (2, 0)
    assert sum("skipped" in record.message for record in caplog.records) == 2


@pytest.mark.parametrize("label", [b"purple", b"", b"\xff\xfe", b"red" + b" " * 200])
def test_a_sidecar_that_names_no_class_is_counted_until_it_is_corrected(
    watch: Open, folder: Path, basket: Basket, told: Told, label: bytes
) -> None:
    write_image(folder, "a.png", 0)
    (folder / "a.txt").write_bytes(label)
    stream = watch(rhythm=Rhythm(look_s=0.03, settle_s=0.05, full_look_s=0.2))
    stream.start(basket)
    wait_for(lambda: stream.counts.mislabelled == 1)
    assert "red, green, blue" in told.problems.lines[0]
    (folder / "a.txt").write_text("red")
    wait_for(lambda: basket.slots == [0])
    wait_for(lambda: told.problems.lines == ())
    assert (stream.counts.mislabelled, told.count("is no class")) == (1, 1)


def test_a_subfolder_that_is_no_class_is_told_once_and_taken_when_it_is_renamed(
    watch: Open, folder: Path, basket: Basket, told: Told
) -> None:
    for number in range(30):
        write_image(folder / "purple", f"{number}.png", 0)
    stream = watch()
    stream.start(basket)
    wait_for(lambda: stream.counts.mislabelled == 30)
    assert told.count("purple") == 1
    (folder / "purple").rename(folder / "red")
    wait_for(lambda: basket.slots == [0] * 30)
    wait_for(lambda: told.problems.lines == ())


def test_a_folder_that_vanishes_and_comes_back_is_told_once_and_loses_nothing(
    watch: Open, folder: Path, basket: Basket, told: Told
) -> None:
    write_classes(folder, 2)
    stream = watch()
    stream.start(basket)
    wait_for(lambda: len(basket.names) == 6)
    away = folder.rename(folder.with_name("away"))
    wait_for(lambda: told.count("No such file") == 1)
    write_image(away / "green", "meanwhile.png", 1)
    time.sleep(0.3)
    away.rename(folder)
    wait_for(lambda: "meanwhile.png" in basket.names)
    wait_for(lambda: told.count("watched again") == 1)
    assert (stream.counts.taken, len(told.lines), told.problems.lines) == (7, 2, ())


def test_an_empty_mount_point_forgets_nothing(watch: Open, folder: Path, basket: Basket) -> None:
    write_classes(folder, 2)
    write_image(folder, "flat.png", 0)
    (folder / "flat.txt").write_text("red")
    stream = watch()
    stream.start(basket)
    wait_for(lambda: len(basket.names) == 7)
    stick = folder.rename(folder.with_name("stick"))
    folder.mkdir()  # what a stick leaves behind
    time.sleep(0.3)
    folder.rmdir()
    stick.rename(folder)
    write_image(folder / "blue", "new.png", 2)
    wait_for(lambda: "new.png" in basket.names)
    time.sleep(0.2)
    assert stop_counted(stream) == 8


def test_a_missing_folder_is_waited_for(watch: Open, tmp_path: Path, basket: Basket) -> None:
    watch().start(basket)
    time.sleep(0.1)
    write_image(tmp_path / "in" / "red", "a.png", 0)
    wait_for(lambda: basket.names == ["a.png"])


def test_files_that_are_gone_are_forgotten(watch: Open, folder: Path, basket: Basket) -> None:
    write_classes(folder, 4)
    stream = watch()
    stream.start(basket)
    wait_for(lambda: len(basket.names) == 12)
    (folder / "red" / "red0.png").unlink()
    (folder / "red" / "red1.png").unlink()
    time.sleep(0.3)
    stream.stop()
    again = watch()
    numbers = [again._files.folder(os.fsencode(folder / label)) for label in CLASSES]
    assert [again._files.count(number) for number in numbers] == [2, 4, 4]


def test_a_flood_is_fed_at_the_intakes_pace_and_evenly(
    watch: Open, folder: Path, basket: Basket
) -> None:
    write_classes(folder, 100)
    basket.room = 0
    stream = watch()
    stream.start(basket)
    for room in (10, 30):
        basket.room = room
        wait_for(lambda: len(basket.names) == room)  # noqa: B023
    time.sleep(0.2)
    assert stream.counts.taken == 30
    assert np.bincount(basket.slots).tolist() == [10, 10, 10]
    basket.room = 1000
    wait_for(lambda: len(set(basket.names)) == 300)
    assert stream.counts.taken == len(basket.names) == 300


def test_a_stop_in_a_flood_goes_on_where_it_was(watch: Open, folder: Path, basket: Basket) -> None:
    write_classes(folder, 50)
    basket.room = 40
    first = watch()
    first.start(basket)
    wait_for(lambda: len(basket.names) == 40)
    first.stop()
    basket.room = 1000
    second = watch()
    second.start(basket)
    wait_for(lambda: len(set(basket.names)) == 150)
    assert (first.counts.taken, second.counts.taken) == (40, 110)


def test_an_intake_whose_disk_refuses_is_told_once_and_offered_again(
    watch: Open, folder: Path, basket: Basket, told: Told
) -> None:
    write_classes(folder, 1)
    basket.refuses = True
    watch().start(basket)
    wait_for(lambda: told.count("disk full") == 1)
    time.sleep(0.3)
    basket.refuses = False
    wait_for(lambda: len(basket.names) == 3)
    assert (len(told.lines), told.problems.lines) == (2, ())


def test_one_file_that_cannot_be_read_does_not_hold_up_the_others(
    watch: Open, folder: Path, basket: Basket, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A bad sector, which no test can make: reading this one file fails as such a disk does.
    def read(path: Path) -> bytes:
        if path.name == "red1.png":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read_file(path)

    monkeypatch.setattr("hiertk_edge.sources.watched_images.read_file", read)
    write_classes(folder, 3)
    stream = watch()
    stream.start(basket)
    wait_for(lambda: len(basket.names) == 8)
    wait_for(lambda: stream.counts.bad == 1)


def test_pipes_links_to_nowhere_hidden_and_other_files_are_passed_over(
    watch: Open, folder: Path, basket: Basket
) -> None:
    os.mkfifo(write_image(folder / "red", "a.png", 0).with_name("pipe.png"))
    (folder / "red" / "loose.png").symlink_to("nowhere.png")
    (folder / "red" / "folder.png").mkdir()
    write_image(folder / "red", ".hidden.png", 0)
    (folder / "red" / "notes.doc").write_text("x")
    write_image(folder / ".trash", "b.png", 0)
    stream = watch()
    stream.start(basket)
    wait_for(lambda: basket.names == ["a.png"])
    time.sleep(0.2)
    assert (stream.counts.taken, stream.counts.bad, stream.counts.mislabelled) == (1, 0, 0)


def test_names_that_are_not_utf_8_are_taken_once(watch: Open, folder: Path, basket: Basket) -> None:
    plain = write_image(folder / "red", "a.png", 0)
    plain.rename(plain.with_name(os.fsdecode(b"caf\xe9.png")))
    first = watch()
    first.start(basket)
    wait_for(lambda: len(basket.samples) == 1)
    first.stop()
    second = watch()
    second.start(basket)
    time.sleep(0.3)
    assert len(basket.samples) == 1


@pytest.mark.parametrize(
    "damage", [b"no database at all" * 100, b"SQLite format 3\0" + b"\1" * 900]
)
def test_a_damaged_list_of_files_is_set_aside(
    watch: Open, folder: Path, tmp_path: Path, basket: Basket, damage: bytes
) -> None:
    write_image(folder / "red", "a.png", 0)
    (tmp_path / "watched.sqlite").write_bytes(damage)
    watch().start(basket)
    wait_for(lambda: basket.names == ["a.png"])
    assert (tmp_path / "watched.sqlite.damaged-1").read_bytes() == damage


def test_the_wall_clock_does_not_matter(watch: Open, folder: Path, basket: Basket) -> None:
    future = write_image(folder / "red", "future.png", 0)
    past = write_image(folder / "red", "past.png", 0)
    os.utime(future, (4e9, 4e9))
    os.utime(past, (0, 0))
    os.utime(folder / "red", (4e9, 4e9))
    watch().start(basket)
    wait_for(lambda: basket.names == ["future.png", "past.png"])
    os.utime(write_image(folder / "red", "next.png", 0).parent, (1, 1))
    wait_for(lambda: "next.png" in basket.names)


def test_it_stops_at_once_and_before_it_was_started(
    watch: Open, folder: Path, basket: Basket
) -> None:
    watch().stop()
    write_classes(folder, 1)
    stream = watch(rhythm=Rhythm(look_s=30, settle_s=30))
    stream.start(basket)
    began = time.monotonic()
    stream.stop()
    assert time.monotonic() - began < 2
    assert not any(thread.name == "watch" for thread in threading.enumerate())


def test_two_watched_folders_share_one_memory_of_files(
    folder: Path, tmp_path: Path, basket: Basket, told: Told
) -> None:
    other = tmp_path / "other"
    streams = [
        WatchedFolder(
            path,
            FixedLabels(CLASSES),
            INFO,
            memory=tmp_path / "w.sqlite",
            problems=told.problems,
            rhythm=QUICK,
        )
        for path in (folder, other)
    ]
    write_classes(folder, 10)
    write_classes(other, 10)
    for stream in streams:
        stream.start(basket)
    wait_for(lambda: len(basket.names) == 60)
    time.sleep(0.2)
    for stream in streams:
        stream.stop()
    assert ([stream.counts.taken for stream in streams], told.lines) == ([30, 30], [])
