"""Images are decoded once; what is kept of them is exactly what decoding gives."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
from edge_parts import CLASSES, make_manifest, write_images
from hiertk_edge.images import read_image
from hiertk_edge.sources import ListedImages, open_data_set
from hiertk_edge.sources.pixel_cache import PixelCache, remove_others
from PIL import Image

INFO = make_manifest().input


class Counting:
    """Reads images, and counts how many."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads = 0
        monkeypatch.setattr("hiertk_edge.sources.listed_images.read_image", self.read)

    def read(self, path: Path | str) -> Image.Image:
        self.reads += 1
        return read_image(path)


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Counting:
    return Counting(monkeypatch)


def opened(folder: Path, state: Path) -> ListedImages:
    found = open_data_set(f"folder:{folder}", CLASSES, INFO, cache=state)
    assert isinstance(found, ListedImages)
    return found


def everything(folder: Path, state: Path) -> bytes:
    return b"".join(one.images.tobytes() for one in opened(folder, state).batches_in_order(5))


def cache_file(state: Path) -> Path:
    (path,) = state.glob("*.pixels")
    return path


def test_the_second_pass_decodes_nothing_and_gives_the_same(
    tmp_path: Path, reading: Counting
) -> None:
    images = write_images(tmp_path / "data", 4)
    first = everything(images, tmp_path)
    assert reading.reads == 12
    assert everything(images, tmp_path) == first, "also by another process, as here"
    assert reading.reads == 12
    assert cache_file(tmp_path).stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_changed_is_decoded_again(tmp_path: Path, reading: Counting) -> None:
    images = write_images(tmp_path / "data", 4)
    everything(images, tmp_path)
    changed = next((images / "red").iterdir())
    Image.new("RGB", (16, 16), "white").save(changed)
    os.utime(changed, ns=(1, 1))
    got = everything(images, tmp_path)
    assert reading.reads == 13
    everything(images, tmp_path)
    assert reading.reads == 13
    assert got == everything(images, tmp_path / "elsewhere"), "and is what decoding gives"


def test_records_that_were_torn_are_decoded_again(tmp_path: Path, reading: Counting) -> None:
    images = write_images(tmp_path / "data", 4)
    first = everything(images, tmp_path)
    path = cache_file(tmp_path)
    data = bytearray(path.read_bytes())
    generator = np.random.default_rng(3)
    for place in generator.integers(0, len(data), 200):
        data[place] ^= 1 << int(generator.integers(8))
    path.write_bytes(data[:-100])
    assert everything(images, tmp_path) == first
    assert reading.reads > 12


def test_two_data_sets_of_the_same_names_are_kept_apart(tmp_path: Path, reading: Counting) -> None:
    sets = [write_images(tmp_path / name, 4, seed=seed) for seed, name in enumerate("ab")]
    first = [everything(one, tmp_path) for one in sets]
    assert [everything(one, tmp_path) for one in sets] == first
    assert reading.reads == 24
    cache = opened(sets[0], tmp_path).cache
    assert cache is not None
    remove_others(tmp_path, [cache.path])
    assert cache_file(tmp_path) == cache.path


def test_images_beyond_its_bound_are_decoded_each_time(
    tmp_path: Path, reading: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hiertk_edge.sources.pixel_cache.MAX_BYTES", 5000)  # six images
    images = write_images(tmp_path / "data", 4)
    first = everything(images, tmp_path)
    assert everything(images, tmp_path) == first
    assert reading.reads == 12 + 6
    assert cache_file(tmp_path).stat().st_size <= 5000


def test_a_folder_that_refuses_is_told_once_and_all_goes_on(
    tmp_path: Path, reading: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    images = write_images(tmp_path / "data", 4)
    (tmp_path / "state").mkdir()
    taken = PixelCache(tmp_path / "state", "x", 16).path
    assert taken.suffix == ".pixels"
    gone = tmp_path / "gone"
    with caplog.at_level(logging.WARNING):
        assert everything(images, gone) == everything(images, tmp_path / "state")
    assert reading.reads == 24
    assert caplog.text.count("decoded in every pass") == 1
