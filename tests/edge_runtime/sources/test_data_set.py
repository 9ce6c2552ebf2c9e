"""A data set of files: what it takes, its passes, and unreadable images."""

import logging
from pathlib import Path

import numpy as np
import pytest
from edge_parts import CLASSES, make_manifest, write_images
from edge_runtime.classes.class_parts import class_map, classes_in
from hiertk_edge.classes.labels import DeviceLabels
from hiertk_edge.sources import DataSet, FixedLabels, listing, open_data_set
from hiertk_protocol.errors import ConfigError
from PIL import Image

INFO = make_manifest().input


def source_of(folder: Path) -> DataSet:
    return open_data_set(f"folder:{folder}", CLASSES, INFO)


def test_a_pass_yields_every_image_once_with_its_slot(tmp_path: Path) -> None:
    source = source_of(write_images(tmp_path / "data", 4))
    batches = list(source.training_batches(4, seed=0, consumed=0, passes=1))
    assert [batch.consumed for batch in batches] == [1, 2, 3]
    labels = np.concatenate([batch.labels for batch in batches])
    assert sorted(labels.tolist()) == [0] * 4 + [1] * 4 + [2] * 4
    for batch in batches:
        assert batch.images.dtype == np.float32
        assert batch.labels.dtype == np.int64
        brightest = batch.images.mean(axis=(2, 3)) * np.array(INFO.std) + np.array(INFO.mean)
        assert brightest.argmax(axis=1).tolist() == batch.labels.tolist()


def test_passes_differ_and_seeds_repeat(tmp_path: Path) -> None:
    source = source_of(write_images(tmp_path / "data", 6))
    first = list(source.training_batches(6, seed=3, consumed=0, passes=2))
    again = list(source.training_batches(6, seed=3, consumed=0, passes=2))
    other = list(source.training_batches(6, seed=4, consumed=0, passes=2))
    assert all(np.array_equal(a.images, b.images) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0].images, first[3].images)
    assert not np.array_equal(first[0].images, other[0].images)


@pytest.mark.parametrize("consumed", range(8))
def test_it_goes_on_at_any_batch_of_any_pass(tmp_path: Path, consumed: int) -> None:
    source = source_of(write_images(tmp_path / "data", 3))
    whole = list(source.training_batches(4, seed=0, consumed=0, passes=2))
    rest = list(source.training_batches(4, seed=0, consumed=consumed, passes=2))
    assert [b.consumed for b in rest] == [b.consumed for b in whole[consumed:]]
    for a, b in zip(rest, whole[consumed:], strict=True):
        assert np.array_equal(a.images, b.images)


@pytest.mark.parametrize(("batch_size", "sizes"), [(4, [4, 4]), (8, [8]), (7, [7, 2]), (5, [5, 4])])
def test_only_a_last_batch_of_one_image_is_dropped(
    tmp_path: Path, batch_size: int, sizes: list[int]
) -> None:
    source = source_of(write_images(tmp_path / "data", 3))
    batches = list(source.training_batches(batch_size, seed=0, consumed=0, passes=1))
    assert [len(batch.labels) for batch in batches] == sizes
    assert source.batch_count(batch_size) == len(sizes)


def test_in_order_yields_all_even_a_last_single_one(tmp_path: Path) -> None:
    source = source_of(write_images(tmp_path / "data", 3))
    batches = list(source.batches_in_order(4))
    slots = [batch.labels.tolist() for batch in batches]
    assert slots == [[2, 2, 2, 1], [1, 1, 0, 0], [0]]


def test_unreadable_images_are_counted_once_logged_once_and_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_images(tmp_path / "data", 4)
    whole = (folder / "red/001.png").read_bytes()
    (folder / "red/cut.png").write_bytes(whole[:80])
    (folder / "blue/empty.jpg").write_bytes(b"")
    (folder / "green/text.png").write_text("no image")
    source = source_of(folder)
    with caplog.at_level(logging.WARNING):
        batches = list(source.training_batches(5, seed=0, consumed=0, passes=3))
    assert sum(len(batch.labels) for batch in batches) == 3 * 12
    assert source.bad_images == 3
    assert sum("skipped" in record.message for record in caplog.records) == 3


def test_the_log_of_unreadable_images_is_bounded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_images(tmp_path / "data", 1)
    for number in range(60):
        (folder / "red" / f"bad{number}.png").write_bytes(b"bad")
    source = source_of(folder)
    with caplog.at_level(logging.WARNING):
        list(source.batches_in_order(8))
    assert source.bad_images == 60
    assert len(caplog.records) <= 21


def test_a_folder_that_is_no_class_is_named_with_the_known_ones(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "data", 2)
    (folder / "purple").mkdir()
    with pytest.raises(ConfigError, match=r"purple.*red, green, blue"):
        source_of(folder)


def test_other_files_and_hidden_ones_are_ignored(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "data", 2)
    (folder / "red/notes.txt").write_text("hello")
    (folder / "red/.DS_Store").write_bytes(b"x")
    (folder / ".cache").mkdir()
    (folder / "README.md").write_text("x")
    assert len(source_of(folder)) == 6


def test_the_digest_names_the_set_of_files(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "data", 2)
    before = source_of(folder).digest
    assert source_of(folder).digest == before
    Image.new("RGB", (16, 16)).save(folder / "red/new.png")
    assert source_of(folder).digest != before


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        source_of(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="0 images"):
        source_of(tmp_path / "empty")


def test_what_hiertk_data_writes_is_taken(tmp_path: Path) -> None:
    from hiertk.cli import app
    from typer.testing import CliRunner

    out = tmp_path / "set"
    chosen = ["fashion-mnist-mini", "--part", "test", "--shard", "1/50"]
    result = CliRunner().invoke(app, ["data", *chosen, "--out", str(out)])
    assert result.exit_code == 0, result.output
    classes = sorted(path.name for path in out.iterdir())
    source = open_data_set(f"folder:{out}", classes, INFO)
    labels = np.concatenate([batch.labels for batch in source.batches_in_order(8)])
    assert len(labels) == len(source) == 20
    assert source.bad_images == 0
    files = sorted(out.rglob("*.png"))
    assert [classes[label] for label in labels] == [path.parent.name for path in files]


def test_the_number_of_files_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_FILES", 5)
    with pytest.raises(ConfigError, match="more than 5 images"):
        source_of(write_images(tmp_path / "data", 2))


def test_a_batch_that_was_read_before_the_classes_moved_gets_the_slots_of_now(
    tmp_path: Path,
) -> None:
    classes = classes_in(tmp_path)
    folder = write_images(tmp_path / "data", 2)
    (folder / "green").rename(folder / "cup")
    labels = DeviceLabels(classes, accepts_new=True)
    source = open_data_set(f"folder:{folder}", CLASSES, INFO, labels=labels)
    (batch,) = source.batches_in_order(10)
    digest = source.digest
    assert sorted(source.in_slots(batch).labels.tolist()) == [0, 0, 2, 2, 7, 7]
    classes.take(class_map(3, {0: ("cup", 3), 1: ("green", 1), 2: ("blue", 1)}))
    moved = source.in_slots(batch)
    assert moved.labels.tolist() == [2, 2, 0, 0], "red is retired, and the cup has its slot"
    assert np.array_equal(moved.images, batch.images[:4])
    again = open_data_set(f"folder:{folder}", CLASSES, INFO, labels=AllNames())
    assert again.digest == digest, "training goes on where it was"


class AllNames(FixedLabels):
    """Takes the names that the data set had."""

    def __init__(self) -> None:
        super().__init__(("cup", "red", "blue"))
