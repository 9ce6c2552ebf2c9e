"""From an image file to the network's input: the one definition of preprocessing.

Pixels are taken as they are stored. The orientation that a camera notes in EXIF is not applied,
and transparency is left out: neither is by torchvision's folders, which networks are trained on.
Of several pictures in a file the first counts.
"""

import errno
import io
import os
import stat
import threading
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import InputInfo
from PIL import Image, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
MAX_BYTES = 32 << 20
MAX_PIXELS = 64 << 20

Float32Array = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

# One at a time: several threads read images, and two large ones would be two peaks of memory.
# catch_warnings below, too, is for one thread only.
_decoding = threading.Lock()


def read_image(path: Path | str) -> Image.Image:
    """Read an image file as RGB.

    Raises ConfigError if it is missing, damaged, of another format, or larger than 32 MiB or
    64 Mpx; its size is checked before its pixels are decoded.
    """
    try:
        data = read_file(path)
    except (OSError, ValueError) as error:
        raise ConfigError(_refusal(str(path), _reason(error))) from error
    return read_image_bytes(data, str(path))


def read_image_bytes(data: bytes, what: str) -> Image.Image:
    """Read an image file's content as RGB, as read_image does. what: names it in the error."""
    if len(data) > MAX_BYTES:
        raise ConfigError(_refusal(what, "more than 32 MiB"))
    try:
        with _decoding, warnings.catch_warnings():
            # Pillow warns of odd metadata, and of what is up to twice its own limit; ours follows.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(what, image)
                image.load()
                return _to_rgb(image)
    except ConfigError:
        raise
    except Exception as error:  # Pillow's parsers raise whatever they trip over
        raise ConfigError(_refusal(what, _reason(error))) from error


def read_file(path: Path | str) -> bytes:
    """Read at most one byte more than an image may have.

    Raises OSError, also for what is no file: a pipe with an image's name would block for ever.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a file")
        return file.read(min(status.st_size, MAX_BYTES) + 1)


def preprocess(image: Image.Image, info: InputInfo) -> Float32Array:
    """Return the input (3, size, size) float32: resized, then normalized."""
    inputs: Float32Array = normalize(resize(image, info)[None], info)[0]
    return inputs


def resize(image: Image.Image, info: InputInfo) -> Pixels:
    """Return the pixels (size, size, 3) uint8: RGB, resized bilinearly."""
    image = _to_rgb(image)
    if image.size != (info.size, info.size):
        image = image.resize((info.size, info.size), Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8)


def normalize(pixels: Pixels, info: InputInfo) -> Float32Array:
    """Return the inputs (N, 3, size, size) float32 of (N, size, size, 3): /255, normalized."""
    inputs = np.empty((len(pixels), *info.shape), np.float32)
    inputs[:] = pixels.transpose(0, 3, 1, 2)
    inputs /= np.float32(255)
    inputs -= np.array(info.mean, np.float32).reshape(3, 1, 1)
    inputs /= np.array(info.std, np.float32).reshape(3, 1, 1)
    return inputs


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _check_size(what: str, image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ConfigError(_refusal(what, f"{image.width}x{image.height} is too large"))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16"):
        # Pillow would cut every level above 255 to white; of 16-bit colours it takes the high byte.
        levels = np.asarray(image).astype(np.uint16) >> 8
        image = Image.fromarray(levels.astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # else Pillow warns, and some palettes lose their colours
    return image.convert("RGB")


def _refusal(what: str, reason: str) -> str:
    return f"{what}: {reason}: take an intact PNG, JPEG, BMP or WEBP of up to 64 Mpx and 32 MiB"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    return " ".join(str(error).split()) or type(error).__name__
