"""`hiertk export --rehearsal`: labelled images that a bundle takes along."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import Ended, run_here
from grown_bundles import CLASSES, export_small, grow_small
from hiertk.export.rehearsal import RehearsalSettings, choose_images
from hiertk_edge.images import read_image
from hiertk_edge.rehearsal.exported import read_exported
from hiertk_protocol.bundle import REHEARSAL, Bundle, open_bundle, zip_bundle
from hiertk_protocol.errors import ConfigError
from PIL import Image

PER_CLASS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of one colour an image: 5 cats, 5 dogs, 1 owl, no fox, 5 of something else."""
    folder = tmp_path_factory.mktemp("set")
    for level, (name, count) in enumerate({"cat": 5, "dog": 5, "owl": 1, "yak": 5}.items()):
        (folder / "train" / name).mkdir(parents=True)
        for number in range(count):
            color = (40 * level, 10 * number, 7)
            Image.new("RGB", (20, 30), color).save(folder / "train" / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def bundle(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    rehearsal = RehearsalSettings(f"folder:{folder}", PER_CLASS)
    out = tmp_path_factory.mktemp("exported") / "bundle"
    return export_small(out, backend="torch", rehearsal=rehearsal)


def names_in(bundle: Bundle) -> list[str]:
    return [one.name for one in read_exported(bundle)]


def test_a_bundle_takes_as_many_of_each_class_as_there_are(bundle: Bundle, folder: Path) -> None:
    assert names_in(bundle) == ["cat"] * PER_CLASS + ["dog"] * PER_CLASS + ["owl"]
    size = bundle.manifest.input.size
    known = {
        name: {
            read_image(path).resize((size, size)).tobytes()
            for path in (folder / "train" / name).iterdir()
        }
        for name in ("cat", "dog", "owl")
    }
    taken = [(one.name, one.pixels) for one in read_exported(bundle)]
    assert len(set(taken)) == len(taken)
    assert all(pixels in known[name] for name, pixels in taken)


def test_its_checksum_is_in_the_manifest_and_it_goes_into_the_zip(
    bundle: Bundle, tmp_path: Path
) -> None:
    assert REHEARSAL in open_bundle(bundle.folder).manifest.files
    zip_bundle(bundle.folder, tmp_path / "bundle.zip")
    assert names_in(open_bundle(tmp_path / "bundle.zip")) == names_in(bundle)


def test_a_grown_bundle_has_them_too(bundle: Bundle, tmp_path: Path) -> None:
    assert names_in(grow_small(bundle, tmp_path / "grown")) == names_in(bundle)


def test_the_same_seed_chooses_the_same(folder: Path, bundle: Bundle) -> None:
    settings = RehearsalSettings(f"folder:{folder}", PER_CLASS)
    chosen = [choose_images(settings, CLASSES, bundle.manifest.input, seed) for seed in (0, 0, 1)]
    assert np.array_equal(chosen[0].pixels, chosen[1].pixels)
    assert not np.array_equal(chosen[0].pixels, chosen[2].pixels)


def test_a_data_set_of_other_classes_or_without_images_is_refused(
    folder: Path, bundle: Bundle, tmp_path: Path
) -> None:
    info = bundle.manifest.input
    with pytest.raises(ConfigError, match=r"cat, dog, owl, yak.* which the bundle has none"):
        choose_images(RehearsalSettings(f"folder:{folder}"), ("class-0",), info, 0)
    (tmp_path / "train" / "cat").mkdir(parents=True)
    with pytest.raises(ConfigError, match="no training images"):
        choose_images(RehearsalSettings(f"folder:{tmp_path}"), CLASSES, info, 0)


def export(folder: Path, *arguments: str) -> Ended:
    from hiertk.cli import main

    chosen = ("--model", "resnet18", "--target", "android", "--out", "b", "--input-size", "32")
    return run_here(main, "export", *chosen, *arguments, folder=folder)


def test_the_command_says_how_many_and_how_large(folder: Path, tmp_path: Path) -> None:
    taking = ("--rehearsal", f"folder:{folder}", "--rehearsal-images", "2")
    done = export(tmp_path, "--split", "1", "--classes", "cat,dog,owl", *taking, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    size = (tmp_path / "b" / REHEARSAL).stat().st_size
    assert told["rehearsal"] == {"images": 5, "classes": 3, "bytes": size}
    assert size < 5 * 3 * 32 * 32 + 500
    assert any("fewer than 2 training images of owl" in note for note in told["notes"])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--split", "1,2"), "a profiling bundle"),
        (("--split", "1", "--rehearsal-images", "0"), "--rehearsal-images 0: from 1 to 1000"),
        (
            ("--split", "1", "--rehearsal-images", "1000", "--input-size", "224"),
            "more than 67: take fewer",
        ),
    ],
)
def test_what_cannot_be_taken_is_refused_before_the_export(
    folder: Path, tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    done = export(tmp_path, "--rehearsal", f"folder:{folder}", *arguments)
    assert (done.returncode, done.stdout) == (3, "")
    assert reason in done.stderr
    assert not (tmp_path / "b").exists()
