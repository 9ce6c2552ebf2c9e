"""The fonts of this machine, by family."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from fontTools.ttLib import TTFont, TTLibError

_PLACES = (
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path("/Library/Fonts"),
    Path("/System/Library/Fonts"),
    Path.home() / "Library/Fonts",
    Path.home() / ".local/share/fonts",
    Path.home() / ".fonts",
)
logging.getLogger("fontTools").setLevel(logging.ERROR)  # small faults of fonts that can be read

_NOT_TELLING = ("last resort", "smallcaps", "titling")  # one shape for several characters


def installed_fonts() -> list[Path]:
    """Return the files of all outline fonts."""
    files = {file for place in _PLACES for file in place.rglob("*.[to]tf")}
    return sorted(files, key=lambda file: (file.name, str(file)))


def families_with(characters: Sequence[str], fonts: Iterable[Path]) -> dict[str, list[Path]]:
    """Return the files of each family whose faces draw each of the characters differently.

    A face that two packages bring counts once. A broken file is left out.
    """
    wanted = {ord(character) for character in characters}
    families: dict[str, list[Path]] = defaultdict(list)
    seen: set[str] = set()
    for file in fonts:
        if file.name in seen:
            continue
        family = _family_if_it_has(wanted, file)
        if family and not any(word in family.lower() for word in _NOT_TELLING):
            seen.add(file.name)
            families[family].append(file)
    return dict(sorted(families.items()))


def _family_if_it_has(wanted: set[int], file: Path) -> str | None:
    try:
        with file.open("rb") as opened, TTFont(opened, lazy=True) as font:
            glyphs = font.getBestCmap() or {}
            if len({glyphs[character] for character in wanted if character in glyphs}) < len(
                wanted
            ):
                return None
            names = font["name"]
            family: str | None = names.getBestFamilyName()
            return family
    except (TTLibError, OSError, KeyError, ValueError, AssertionError):
        return None
