"""From an image file to the network's input: the one definition of preprocessing."""

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import InputInfo
from PIL import Image, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
MAX_PIXELS = 64 << 20

Float32Array = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


def read_image(path: Path) -> Image.Image:
    """Read an image file as RGB.

    Raises ConfigError if it is missing, damaged, of another format or larger than 64 Mpx; its size
    is checked before its pixels are decoded.
    """
    try:
        with warnings.catch_warnings():
            # Pillow only warns for what is up to twice its own limit; ours follows below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                _check_size(path, image)
                image.load()
                return _to_rgb(image)
    except ConfigError:
        raise
    except Exception as error:  # Pillow's parsers raise whatever they trip over
        raise ConfigError(_refusal(path, _reason(error))) from error


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
    scaled = pixels.astype(np.float32).transpose(0, 3, 1, 2) / np.float32(255)
    mean = np.array(info.mean, np.float32).reshape(3, 1, 1)
    std = np.array(info.std, np.float32).reshape(3, 1, 1)
    return np.ascontiguousarray((scaled - mean) / std)


def _check_size(path: Path, image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ConfigError(_refusal(path, f"{image.width}x{image.height} is too large"))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # else Pillow warns, and some palettes lose their colours
    return image.convert("RGB")


def _refusal(path: Path, reason: str) -> str:
    return f"{path}: {reason}: take an intact PNG, JPEG, BMP or WEBP of up to 64 Mpx"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    return " ".join(str(error).split()) or type(error).__name__
