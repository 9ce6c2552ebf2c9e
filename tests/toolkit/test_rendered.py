"""The rendered characters: fonts of this machine, drawn and distorted, some held out."""

from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from fontTools.ttLib import TTFont
from hiertk.data import load
from hiertk.data.fonts import families_with
from hiertk.data.rendered import CHARACTERS, SIZE, draw, render, split_fonts
from hiertk_protocol.errors import ConfigError
from PIL import ImageFont

SHIPPED = Path(mpl.get_data_path()) / "fonts" / "ttf"
MANY = {f"Family{number} Sans": [SHIPPED / "DejaVuSans.ttf"] for number in range(24)}


def test_there_are_a_hundred_classes_each_named_so_that_any_file_system_keeps_them_apart() -> None:
    assert len(set(CHARACTERS)) == 100
    names = {f"U+{ord(character):04X}".lower() for character in CHARACTERS}
    assert len(names) == 100


def test_fonts_are_found_by_family_and_those_without_the_characters_are_left_out() -> None:
    families = families_with(CHARACTERS, sorted(SHIPPED.glob("*.ttf")))
    assert "DejaVuSans-Bold.ttf" in {file.name for file in families["DejaVu Sans"]}
    assert "cmr10" not in families  # a font of TeX: no euro sign


def test_a_broken_font_is_left_out_and_one_in_two_places_counts_once(tmp_path: Path) -> None:
    broken = tmp_path / "Broken.ttf"
    broken.write_bytes((SHIPPED / "DejaVuSans.ttf").read_bytes()[:100])
    empty = tmp_path / "Empty.ttf"
    empty.touch()
    good = SHIPPED / "DejaVuSans.ttf"
    copied = tmp_path / good.name
    copied.write_bytes(good.read_bytes())
    assert families_with("AB", [broken, empty, good, copied]) == {"DejaVu Sans": [good]}


def test_a_face_that_draws_two_characters_alike_is_left_out(tmp_path: Path) -> None:
    alike = tmp_path / "Alike.ttf"
    with TTFont(SHIPPED / "DejaVuSans.ttf") as font:
        for table in font["cmap"].tables:
            table.cmap[ord("b")] = table.cmap.get(ord("B"), "B")
        font.save(alike)
    assert families_with("aB", [alike]) == {"DejaVu Sans": [alike]}
    assert families_with("bB", [alike]) == {}


def test_no_kind_of_font_is_on_both_sides() -> None:
    fonts = {**MANY, "Family3 Serif": [SHIPPED / "DejaVuSerif.ttf"]}
    parts = split_fonts(fonts)
    kinds = {part: {name.split()[0] for name in families} for part, families in parts.items()}
    assert kinds["train"].isdisjoint(kinds["test"])
    assert len(kinds["test"]) == 6
    assert set(parts["train"]) | set(parts["test"]) == set(fonts)


def test_too_few_fonts_are_told_with_what_to_install() -> None:
    with pytest.raises(ConfigError, match=r"wants 20 kinds of fonts .* has 1: .* apt install"):
        split_fonts({"DejaVu Sans": [SHIPPED / "DejaVuSans.ttf"]})


def test_the_same_seed_draws_the_same_images_and_another_draws_others() -> None:
    first, again = (render(MANY, 2, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (200, SIZE, SIZE)
    assert (render(MANY, 2, seed=6) != first).mean() > 0.5


def test_every_image_shows_its_character_against_its_ground() -> None:
    images = render(MANY, 3, seed=0).astype(np.float32)
    ranges = np.ptp(images, axis=(1, 2))
    assert ranges.min() > 40
    font = ImageFont.truetype(str(SHIPPED / "DejaVuSans.ttf"), SIZE)
    shapes = [draw(character, font, np.random.default_rng(0)) for character in "OÓÒÔ"]
    assert all((one != other).any() for one, other in pairwise(shapes))


def test_the_set_is_made_once_and_read_from_its_files_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HIERTK_DATA", str(tmp_path))
    monkeypatch.setattr("hiertk.data.rendered.families_with", lambda *_: MANY)
    monkeypatch.setattr("hiertk.data.rendered.IMAGES", {"train": 3, "test": 1})
    made = load("rendered-characters", "train")
    assert "Rendering rendered-characters" in capsys.readouterr().err
    assert (len(made), len(load("rendered-characters", "test"))) == (300, 100)
    assert capsys.readouterr().err == ""
    image, label = made.items[103]
    assert (image.size, image.mode, made.classes[label]) == ((64, 64), "RGB", "U+0035")
    assert "test: Family0 Sans\n" in (tmp_path / "rendered-characters" / "families.txt").read_text()
