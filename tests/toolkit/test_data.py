"""Data sets by name: the shipped one, the installed one, folders, and clear words for the rest."""

from pathlib import Path

import numpy as np
import pytest
from hiertk.data import DATA_SETS, load, write_image_folder
from hiertk.data.sets import SYSTEM_FASHION_MNIST, check_part, data_folder, parse_shard
from hiertk_edge.images import preprocess
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import InputInfo
from PIL import Image

INFO = InputInfo(size=32, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@pytest.mark.parametrize(("part", "per_class"), [("train", 600), ("test", 100)])
def test_the_shipped_set_is_balanced(part: str, per_class: int) -> None:
    images = load("fashion-mnist-mini", check_part(part))
    labels = [label for _, label in (images.items[index] for index in range(len(images)))]
    assert np.bincount(labels).tolist() == [per_class] * 10
    assert images.classes[0] == "T-shirt-top"


def test_the_shipped_set_is_small_and_licensed() -> None:
    import hiertk.data

    folder = Path(hiertk.data.__file__).parent / "fashion-mnist-mini"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 3_500_000
    assert "MIT License" in (folder / "LICENSE").read_text()


def test_the_shipped_images_are_fashion_mnists_own() -> None:
    if not SYSTEM_FASHION_MNIST.is_dir():
        pytest.skip("dataset-fashion-mnist is not installed")
    whole, mini = load("fashion-mnist", "test"), load("fashion-mnist-mini", "test")
    assert len(whole) == 10_000
    known = {(image.tobytes(), label) for image, label in map(whole.items.__getitem__, range(2000))}
    assert all(
        (image.tobytes(), label) in known
        for image, label in map(mini.items.__getitem__, range(len(mini)))
    )


def test_tensors_are_what_a_device_sees(tmp_path: Path) -> None:
    images = load("fashion-mnist-mini", "train")
    tensors, labels = images.tensors([5, 7], INFO)
    write_image_folder(images, [5, 7], tmp_path / "out")
    for row, index in enumerate((5, 7)):
        name = images.classes[int(labels[row])]
        with Image.open(tmp_path / "out" / name / f"{index:06d}.png") as image:
            assert np.array_equal(preprocess(image, INFO), tensors[row].numpy())


def test_a_written_folder_can_be_read_again(tmp_path: Path) -> None:
    mini = load("fashion-mnist-mini", "train")
    for part in ("train", "test"):
        write_image_folder(mini, range(20), tmp_path / "set" / part)
    images = load(f"folder:{tmp_path / 'set'}", "test")
    assert len(images) == 20
    assert sorted(images.classes) == sorted(mini.classes)


def test_a_folder_that_exists_is_left(tmp_path: Path) -> None:
    mini = load("fashion-mnist-mini", "train")
    write_image_folder(mini, range(2), tmp_path / "out")
    with pytest.raises(ConfigError, match="--force"):
        write_image_folder(mini, range(3), tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("*.png"))) == 2
    write_image_folder(mini, range(3), tmp_path / "out", replace=True)
    assert len(list((tmp_path / "out").rglob("*.png"))) == 3


def test_tiny_imagenet_is_read_as_its_authors_lay_it_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIERTK_DATA", str(tmp_path))
    root = tmp_path / "tiny-imagenet-200"
    for name in ("n01443537", "n01629819"):
        folder = root / "train" / name / "images"
        folder.mkdir(parents=True)
        Image.new("RGB", (64, 64)).save(folder / f"{name}_0.JPEG")
    (root / "val" / "images").mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(root / "val" / "images" / "val_0.JPEG")
    (root / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn01629819\t0\t0\t9\t9\n")
    assert len(load("tiny-imagenet", "train")) == 2
    image, label = load("tiny-imagenet", "test").items[0]
    assert (image.size, label) == ((64, 64), 1)


def test_a_missing_set_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIERTK_DATA", str(tmp_path))
    with pytest.raises(ConfigError, match=r"download tiny-imagenet-200\.zip"):
        load("tiny-imagenet", "train")


def test_a_download_that_fails_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIERTK_DATA", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(ConfigError, match="cannot be downloaded"):
        load("cifar10", "train")


def test_the_data_folder_follows_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HIERTK_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "hiertk" / "data"


@pytest.mark.parametrize("spec", ["mnist", "folder:/nowhere/at/all", "", "../x"])
def test_an_unknown_set_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError):
        load(spec, "train")


def test_all_names_of_the_readme_are_there() -> None:
    assert set(DATA_SETS) == {
        "fashion-mnist-mini", "fashion-mnist", "cifar10", "cifar100", "tiny-imagenet",
        "rendered-characters",
    }  # fmt: skip


def test_shards_share_everything_out_once() -> None:
    shares = [list(parse_shard(f"{k}/3", 10)) for k in (1, 2, 3)]
    assert sorted(index for share in shares for index in share) == list(range(10))


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_a_bad_shard_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="write K/N"):
        parse_shard(text, 10)
