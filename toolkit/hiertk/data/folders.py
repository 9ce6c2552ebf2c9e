"""Writing images to the layout that devices read: FOLDER/CLASS/NUMBER.png."""

from collections.abc import Iterable
from pathlib import Path

from hiertk_protocol.files import atomic_folder

from hiertk.data.image_set import ImageSet


def write_image_folder(
    images: ImageSet, indices: Iterable[int], folder: Path, *, replace: bool = False
) -> int:
    """Write the chosen images as PNG and return the bytes of all files.

    Raises ConfigError if the folder exists and `replace` is false.
    """
    size = 0
    with atomic_folder(folder, replace=replace) as temporary:
        for name in images.classes:
            (temporary / name).mkdir()
        for index in indices:
            image, label = images.items[int(index)]
            path = temporary / images.classes[label] / f"{int(index):06d}.png"
            image.save(path, optimize=True)
            size += path.stat().st_size
    return size
