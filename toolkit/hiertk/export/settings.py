"""What can be chosen at export, and what is chosen where the user says nothing."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import (
    MAX_CLASSES,
    Backend,
    ClassInfo,
    Normalization,
    Stem,
    Target,
)
from pydantic import ValidationError

from hiertk.models import CutSpec, NetworkSpec
from hiertk.option_checks import check_batch_size, check_choice, check_input_size

_SPARE_SLOTS_MULTIPLE = 16


@dataclass(frozen=True)
class ExportSettings:
    """One export. out: None for `{model}-split{split}-{target}` in the current folder.

    model: a name of hiertk.models, of which `package.module:factory` is trusted and run.
    """

    model: str
    split: int
    target: str
    classes: tuple[str, ...]
    backend: str = "onnxruntime"
    class_capacity: int | None = None
    input_size: int = 32
    batch_size: int = 32
    bits: int = 4
    stem: str = "torchvision"
    normalization: str = "batch"
    bottleneck: int | None = None
    weights: Path | None = None
    out: Path | None = None
    zip: bool = False
    force: bool = False
    seed: int = 0

    @property
    def folder(self) -> Path:
        """Where the bundle goes."""
        return self.out or Path(f"{file_name(self.model)}-split{self.split}-{self.target}")

    @property
    def spec(self) -> CutSpec:
        """The network to build, and where to cut it."""
        network = NetworkSpec(
            name=self.model,
            slots=self.class_info().capacity,
            input_size=self.input_size,
            stem=cast("Stem", self.stem),
            normalization=cast("Normalization", self.normalization),
        )
        return CutSpec(network, self.split, self.bottleneck)

    def class_info(self) -> ClassInfo:
        """Return names and slots; without a capacity, some slots are left for new classes."""
        spare = (len(self.classes) // _SPARE_SLOTS_MULTIPLE + 1) * _SPARE_SLOTS_MULTIPLE
        capacity = min(spare, MAX_CLASSES) if self.class_capacity is None else self.class_capacity
        try:
            return ClassInfo(names=self.classes, capacity=capacity)
        except ValidationError as error:
            problem = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ConfigError(f"--classes and --class-capacity: {problem}") from error

    def check(self) -> None:
        """Refuse what cannot be exported, before anything is built. Raises ConfigError."""
        check_choice("--target", self.target, get_args(Target))
        check_choice("--backend", self.backend, get_args(Backend))
        check_choice("--stem", self.stem, get_args(Stem))
        check_choice("--normalization", self.normalization, get_args(Normalization))
        if self.target == "rpi" or self.backend != "onnxruntime":
            raise ConfigError(
                f"target {self.target} with backend {self.backend} comes with a later version: "
                "--target linux and android with --backend onnxruntime work now"
            )
        if self.bits not in (8, 4):
            raise ConfigError(f"--bits {self.bits}: features are sent at 8 or 4 bits")
        check_batch_size(self.batch_size)
        check_input_size(self.input_size)
        if self.folder.exists() and not self.force:
            raise ConfigError(
                f"{self.folder} exists: choose another folder with --out, or --force to replace it"
            )
        self.class_info()


def file_name(model: str) -> str:
    """Return a network's name as part of a file's name."""
    return re.sub(r"[:.]+", "-", model)


def parse_classes(text: str) -> tuple[str, ...]:
    """Read a number of classes, names with commas between, or a file with one name a line.

    Raises ConfigError.
    """
    if text.isdecimal():
        count = int(text)
        if not 1 <= count <= MAX_CLASSES:
            raise ConfigError(f"--classes {text}: from 1 to {MAX_CLASSES} classes")
        return tuple(f"class-{index}" for index in range(count))
    path = Path(text)
    if path.is_file():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--classes {path}: not a text file: {error}") from error
    else:
        lines = text.split(",")
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise ConfigError(f"--classes {text!r}: no names: give a number, names or a file")
    return names
