"""The data sets by name. What is not here says how to get it.

torchvision is imported where it is used: a wrong name is told at once.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from hiertk_edge.images import read_image
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.files import atomic_folder
from PIL import Image

from hiertk.data.image_set import ImageSet, LabelledImages
from hiertk.data.rendered import rendered_characters
from hiertk.data.tiny_imagenet import TinyImageNetValidation

Part = Literal["train", "test"]
SYSTEM_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
_MINI = Path(__file__).parent / "fashion-mnist-mini"


def load(spec: str, part: Part) -> ImageSet:
    """Load a data set by name, or `folder:PATH` with PATH/{train,test}/CLASS/IMAGE.

    Raises ConfigError, saying how to get it, if it is not there.
    """
    if spec.startswith("folder:"):
        return _folder(spec, Path(spec.removeprefix("folder:")), part)
    if spec not in DATA_SETS:
        raise ConfigError(
            f"unknown data set {spec!r}: choose from {', '.join(DATA_SETS)}, or folder:PATH"
        )
    return DATA_SETS[spec](spec, part)


def data_folder() -> Path:
    """Return where data sets are kept: $HIERTK_DATA, or a folder in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("HIERTK_DATA") or Path(cache) / "hiertk" / "data")


def _fashion_mnist(name: str, part: Part) -> ImageSet:
    from torchvision import datasets

    if SYSTEM_FASHION_MNIST.is_dir():
        return _unpacked_fashion_mnist(name, SYSTEM_FASHION_MNIST, part)
    return _download(name, part, datasets.FashionMNIST)


def _fashion_mnist_mini(name: str, part: Part) -> ImageSet:
    return _unpacked_fashion_mnist(name, _MINI, part)


def _unpacked_fashion_mnist(name: str, source: Path, part: Part) -> ImageSet:
    """Load torchvision's FashionMNIST from a folder of its four .gz files."""
    from torchvision import datasets
    from torchvision.datasets.utils import extract_archive

    root = data_folder() / name
    if not root.exists():
        with atomic_folder(root) as temporary:
            (temporary / "FashionMNIST" / "raw").mkdir(parents=True)
            for archive in sorted(source.glob("*.gz")):
                extract_archive(str(archive), str(temporary / "FashionMNIST" / "raw"))
    items = datasets.FashionMNIST(root, train=part == "train")
    return _image_set(name, items.classes, items)


def _cifar10(name: str, part: Part) -> ImageSet:
    from torchvision import datasets

    return _download(name, part, datasets.CIFAR10)


def _cifar100(name: str, part: Part) -> ImageSet:
    from torchvision import datasets

    return _download(name, part, datasets.CIFAR100)


def _tiny_imagenet(name: str, part: Part) -> ImageSet:
    root = data_folder() / "tiny-imagenet-200"
    if not root.is_dir():
        raise ConfigError(
            f"{name} is not there: download tiny-imagenet-200.zip from its authors (Stanford "
            f"CS231n) and unpack it to {root}"
        )
    from torchvision import datasets

    train = datasets.ImageFolder(root / "train")
    items = train if part == "train" else TinyImageNetValidation(root / "val", train.class_to_idx)
    return _image_set(name, train.classes, items)


def _rendered_characters(name: str, part: Part) -> ImageSet:
    return rendered_characters(name, data_folder() / name, part)


def _folder(spec: str, path: Path, part: Part) -> ImageSet:
    from torchvision import datasets

    try:
        items = datasets.ImageFolder(path / part, loader=_read, allow_empty=True)
    except OSError as error:
        raise ConfigError(
            f"{spec}: {error}: wanted is {path}/{part}/CLASS/IMAGE, one folder a class"
        ) from error
    return _image_set(spec, items.classes, items)


def _read(file: str) -> Image.Image:
    """Read as devices do: the same formats, the same limits, the same pixels."""
    return read_image(Path(file))


def _download(name: str, part: Part, data_set: Callable[..., Any]) -> ImageSet:
    root = data_folder()
    root.mkdir(parents=True, exist_ok=True)
    try:
        items = data_set(root, train=part == "train", download=True)
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f"{name} is not in {root} and cannot be downloaded ({error}): run this where there is "
            "a network, or set HIERTK_DATA to a folder that has it"
        ) from error
    return _image_set(name, items.classes, items)


def _image_set(name: str, classes: list[str], items: LabelledImages) -> ImageSet:
    """Names become folder names, so "T-shirt/top" is T-shirt-top."""
    return ImageSet(name, tuple(label.replace("/", "-") for label in classes), items)


DATA_SETS: dict[str, Callable[[str, Part], ImageSet]] = {
    "fashion-mnist-mini": _fashion_mnist_mini,
    "fashion-mnist": _fashion_mnist,
    "cifar10": _cifar10,
    "cifar100": _cifar100,
    "tiny-imagenet": _tiny_imagenet,
    "rendered-characters": _rendered_characters,
}


def check_part(part: str) -> Part:
    """Return a part's name. Raises ConfigError."""
    if part == "train":
        return "train"
    if part == "test":
        return "test"
    raise ConfigError(f"--part {part}: choose train or test")


def parse_shard(text: str, count: int) -> range:
    """Return the indices of share K of N, from "K/N". Raises ConfigError."""
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second) <= count):
        raise ConfigError(f"--shard {text}: write K/N with K from 1 to N, for example 1/2")
    return range(int(first) - 1, count, int(second))
