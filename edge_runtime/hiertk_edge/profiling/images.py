"""Real images for the measurement: a folder of the user's, or the bundle's golden ones as files."""

from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import InputInfo
from PIL import Image

from hiertk_edge.golden import GoldenSteps
from hiertk_edge.learner import Float32Array
from hiertk_edge.sources import DataSet, ImageBatch, ListedImages, open_data_set
from hiertk_edge.sources.folder import list_folder

# The same image twice in a batch would vanish in the compression; turned or flipped it does not.
_ORIENTATIONS = (None, *Image.Transpose)


def open_images(data: str | None, bundle: Bundle, folder: Path) -> DataSet:
    """Open `data`, else write the bundle's golden images into `folder` and open that.

    Golden images are written as PNG, so that they are read and decoded as any others. Raises
    ConfigError or BundleError.
    """
    manifest = bundle.manifest
    if data is not None:
        return open_data_set(data, manifest.classes.names, manifest.input)
    golden = GoldenSteps(bundle)
    images = golden.images.reshape(-1, *manifest.input.shape)
    labels = golden.labels.reshape(-1).tolist()
    # Folders are named after slots: a class may be called what no folder can be.
    names = [str(slot) for slot in range(len(manifest.classes.names))]
    for name in {str(label) for label in labels}:
        (folder / name).mkdir(parents=True)
    for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        upright = _to_image(pixels, manifest.input)
        for turn, orientation in enumerate(_ORIENTATIONS):
            image = upright if orientation is None else upright.transpose(orientation)
            image.save(folder / str(label) / f"{number:03}-{turn}.png")
    return ListedImages(list_folder(folder, names), manifest.input)


def full_batches(source: DataSet, samples: int) -> Iterator[ImageBatch]:
    """Yield batches of exactly `samples` images without end, each pass in another order.

    Raises ConfigError if there are too few readable images.
    """
    per_pass = len(source) // samples  # without a smaller one at the end
    for seed in count():
        batches = source.training_batches(samples, seed=seed, consumed=0, passes=1)
        full = (one for one in islice(batches, per_pass) if len(one.labels) == samples)
        first = next(full, None)
        if first is None:
            raise ConfigError(
                f"{len(source)} images, {source.bad_images} of them unreadable, make no batch of "
                f"{samples}: name more with --data, or a smaller --batch-size"
            )
        yield first
        yield from full


def _to_image(pixels: Float32Array, info: InputInfo) -> Image.Image:
    """Return the image (S, S) RGB that preprocessing makes these pixels (3, S, S) of."""
    mean = np.array(info.mean, np.float32).reshape(3, 1, 1)
    std = np.array(info.std, np.float32).reshape(3, 1, 1)
    levels = np.clip(np.rint(255 * (pixels * std + mean)), 0, 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0)))
