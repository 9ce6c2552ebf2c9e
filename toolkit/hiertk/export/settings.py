"""What can be chosen at export, and what is chosen where the user says nothing."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, get_args

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import (
    MAX_CLASSES,
    Backend,
    ClassInfo,
    InputInfo,
    Normalization,
    OptimizerInfo,
    Stem,
    Target,
)
from pydantic import ValidationError

from hiertk.export.backends import BACKENDS
from hiertk.export.optimizer import OptimizerFlags, choose_optimizer
from hiertk.export.rehearsal import RehearsalSettings
from hiertk.models import CutSpec, NetworkSpec
from hiertk.option_checks import check_batch_size, check_choice, check_input_size

# What torchvision's published weights expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_SPARE_SLOTS_MULTIPLE = 16


@dataclass(frozen=True)
class ExportSettings:
    """One export. out: None for `{model}-split{split}-{target}` in the current folder.

    model: a name of hiertk.models, of which `package.module:factory` is trusted and run. backend:
    None for the target's default.
    """

    model: str
    split: int
    target: str
    classes: tuple[str, ...]
    backend: str | None = None
    optimizer: OptimizerFlags = field(default_factory=OptimizerFlags)
    class_capacity: int | None = None
    input_size: int = 32
    batch_size: int = 32
    bits: int = 4
    stem: str = "torchvision"
    normalization: str = "batch"
    bottleneck: int | None = None
    weights: Path | None = None
    rehearsal: RehearsalSettings | None = None
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

    @property
    def chosen_backend(self) -> Backend:
        """The backend, or the target's default where none is named."""
        backends = BACKENDS[cast("Target", self.target)]
        return backends[0] if self.backend is None else cast("Backend", self.backend)

    @property
    def input_info(self) -> InputInfo:
        """How an image becomes an input."""
        return InputInfo(size=self.input_size, mean=IMAGENET_MEAN, std=IMAGENET_STD)

    def optimizer_info(self) -> OptimizerInfo:
        """Return the optimizer that the flags and the backend make. Raises ConfigError."""
        return choose_optimizer(self.optimizer, cast("Target", self.target), self.chosen_backend)

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
        self._check_backend()
        check_choice("--stem", self.stem, get_args(Stem))
        check_choice("--normalization", self.normalization, get_args(Normalization))
        if self.bits not in (8, 4):
            raise ConfigError(f"--bits {self.bits}: features are sent at 8 or 4 bits")
        check_batch_size(self.batch_size)
        check_input_size(self.input_size)
        if self.folder.exists() and not self.force:
            raise ConfigError(
                f"{self.folder} exists: choose another folder with --out, or --force to replace it"
            )
        self.class_info()
        self.optimizer_info()
        if self.rehearsal is not None:
            self.rehearsal.check(len(self.classes), self.input_info.raw_bytes)

    def _check_backend(self) -> None:
        if self.backend is None:
            return
        check_choice("--backend", self.backend, get_args(Backend))
        backends = BACKENDS[cast("Target", self.target)]
        if self.backend not in backends:
            raise ConfigError(
                f"--backend {self.backend} does not train on --target {self.target}: "
                f"take {' or '.join(backends)}"
            )


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
