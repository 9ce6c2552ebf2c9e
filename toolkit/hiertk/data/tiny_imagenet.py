"""Tiny ImageNet's validation part, whose labels stand in a table instead of folders."""

from pathlib import Path

from hiertk_protocol.errors import ConfigError
from PIL import Image


class TinyImageNetValidation:
    """val/images/*.JPEG with val_annotations.txt: file name, class, box, tab-separated."""

    def __init__(self, folder: Path, label_of: dict[str, int]) -> None:
        table = folder / "val_annotations.txt"
        try:
            rows = [line.split("\t")[:2] for line in table.read_text().splitlines()]
            self._items = [(folder / "images" / file, label_of[name]) for file, name in rows]
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(
                f"{table} is not Tiny ImageNet's: {error}: unpack it again"
            ) from error

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        path, label = self._items[index]
        with Image.open(path) as image:
            return image.convert("RGB"), label
