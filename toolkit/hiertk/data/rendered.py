"""A hundred characters, rendered from this machine's fonts and distorted: no photographs.

Anyone can make it from installed packages, and it is harder than Fashion-MNIST: the fonts of the
test images were never seen in training, and some classes differ by an accent alone.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.files import atomic_folder
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from hiertk.data.fonts import families_with, installed_fonts
from hiertk.data.image_set import ImageSet

SIZE = 64  # pixels, and the size of type
CHARACTERS = (
    "23456789"
    "ABCDEFGHJKLMNPQRSTUVWXYZ"
    "abdefghijmnqrty"
    "ÄÅÁÀÂÃÇÉÈÊËÑÖÓÒÔÕØÜÚÙÛ"
    "äåáàâãéèêëñ"
    "&%@#$?!§€£¥+=<>*"
    "ßÆæŒ"
)
IMAGES = {"train": 200, "test": 40}  # of each character
_SEEDS = {"train": 1, "test": 2}
_MIN_GROUPS = 20  # of fonts: below, there is little to learn from and to hold out
_HELD_OUT = 4  # one group of fonts in so many is for testing
_FAMILIES = "families.txt"
_PACKAGES = (
    "apt install fonts-dejavu-core fonts-liberation2 fonts-freefont-ttf fonts-texgyre "
    "fonts-urw-base35 fonts-cmu fonts-linuxlibertine fonts-lato fonts-open-sans fonts-inter "
    "fonts-roboto-slab fonts-paratype fonts-comic-neue fonts-go fonts-hack fonts-jura fonts-karla "
    "fonts-play fonts-dosis fonts-cabin fonts-ebgaramond fonts-junicode fonts-sil-andika"
)

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Rendered:
    """The images of one part, in grey, read from a file as they are asked for."""

    pixels: Pixels  # (N, 64, 64)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(self.pixels[index]).convert("RGB"), index % len(CHARACTERS)


def rendered_characters(name: str, folder: Path, part: str) -> ImageSet:
    """Load the set from its folder; made now, in about a minute, if it is not there.

    A class is named by its code point, such as U+00C4, since some differ by their case alone.
    Raises ConfigError if this machine has too few fonts.
    """
    if not folder.exists():
        _make(folder)
    classes = tuple(f"U+{ord(character):04X}" for character in CHARACTERS)
    pixels = np.load(folder / f"{part}.npy", mmap_mode="r", allow_pickle=False)
    return ImageSet(name, classes, _Rendered(pixels))


def _make(folder: Path) -> None:
    print(f"Rendering {folder.name} to {folder}: about a minute", file=sys.stderr, flush=True)
    fonts = split_fonts(families_with(CHARACTERS, installed_fonts()))
    with atomic_folder(folder) as temporary:
        for part, families in fonts.items():
            np.save(temporary / f"{part}.npy", render(families, IMAGES[part], _SEEDS[part]))
        lines = [f"{part}: {family}\n" for part, families in fonts.items() for family in families]
        (temporary / _FAMILIES).write_text("".join(lines), encoding="utf-8")


def split_fonts(
    families: Mapping[str, Sequence[Path]],
) -> dict[str, dict[str, Sequence[Path]]]:
    """Return the families to train with and those to test with.

    Families of one first word, such as Lato and Lato Light, stay together. Raises ConfigError if
    there are too few.
    """
    groups = sorted({family.split()[0] for family in families})
    if len(groups) < _MIN_GROUPS:
        raise ConfigError(
            f"rendered-characters wants {_MIN_GROUPS} kinds of fonts that have all "
            f"{len(CHARACTERS)} characters, this machine has {len(groups)}: for example {_PACKAGES}"
        )
    held_out = set(groups[::_HELD_OUT])
    parts: dict[str, dict[str, Sequence[Path]]] = {"train": {}, "test": {}}
    for family, files in families.items():
        part = "test" if family.split()[0] in held_out else "train"
        parts[part][family] = files
    return parts


def render(families: Mapping[str, Sequence[Path]], count: int, seed: int) -> Pixels:
    """Draw every character `count` times: (count * characters, 64, 64), characters in turn.

    Each image has a family drawn evenly, one of its faces, and its own distortion.
    """
    images = np.empty((count * len(CHARACTERS), SIZE, SIZE), np.uint8)
    for file, indices in _shared_out(families, len(images), seed):
        font = ImageFont.truetype(str(file), SIZE)
        for index in indices:
            character = CHARACTERS[index % len(CHARACTERS)]
            images[index] = draw(character, font, np.random.default_rng((seed, index)))
    return images


def _shared_out(
    families: Mapping[str, Sequence[Path]], count: int, seed: int
) -> Iterator[tuple[Path, list[int]]]:
    """Yield each face with the images that it draws: a font file is opened once."""
    random = np.random.default_rng(seed)
    faces = list(families.values())
    images: dict[Path, list[int]] = defaultdict(list)
    for index in range(count):
        files = faces[int(random.integers(len(faces)))]
        images[files[int(random.integers(len(files)))]].append(index)
    yield from images.items()


def draw(
    character: str, font: ImageFont.FreeTypeFont, random: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Draw one character, (64, 64): turned, sheared, scaled, shifted, blurred and with noise.

    It is light on dark or dark on light, by any contrast from weak to full.
    """
    paper = Image.new("L", (2 * SIZE, 2 * SIZE))
    ink = ImageDraw.Draw(paper)
    left, _, right, _ = ink.textbbox((0, 0), character, font=font, anchor="ls")
    baseline = SIZE + 0.35 * SIZE
    ink.text((SIZE - (left + right) / 2, baseline), character, 255, font=font, anchor="ls")
    small = paper.transform(
        (SIZE, SIZE), Image.Transform.AFFINE, _distortion(random), Image.Resampling.BICUBIC
    ).filter(ImageFilter.GaussianBlur(random.uniform(0, 1.2)))
    ground = random.uniform(0, 255)
    contrast = random.uniform(60, 255)
    ink_grey = ground + (contrast if ground < 128 else -contrast)
    shape = np.asarray(small, np.float32) / 255
    grey = (
        ground + shape * (ink_grey - ground) + random.normal(0, random.uniform(0, 20), shape.shape)
    )
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def _distortion(random: np.random.Generator) -> tuple[float, ...]:
    """Return the affine map from the image's pixels to the paper's, as Pillow wants it."""
    angle = np.deg2rad(random.uniform(-15, 15))
    shear = random.uniform(-0.25, 0.25)
    wide, high = random.uniform(1.0, 1.6, 2)  # paper's pixels to one of the image
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turned @ np.array([[1, shear], [0, 1]]) @ np.diag([wide, high])
    middle = SIZE / 2 + random.uniform(-5, 5, 2)
    offset = np.array([SIZE, SIZE]) - matrix @ middle
    return (*matrix[0], offset[0], *matrix[1], offset[1])
