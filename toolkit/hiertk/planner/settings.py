"""What a plan is asked for, as numbers."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import MAX_CLASSES, Backend, Normalization, Stem

from hiertk.option_checks import (
    check_batch_size,
    check_choice,
    check_input_size,
    check_range,
)
from hiertk.planner.prediction import Bits
from hiertk.planner.runtime_model import Link
from hiertk.planner.selection import Limits

_MAX_REPLAY = 64


@dataclass(frozen=True)
class PlanSettings:
    """One plan. bits: None to try both. edge_profile, cloud_profile: None for the shipped ones.

    compression: packed bytes over compressed ones, None for what the profile measured.
    backend: what trains on the device. accuracies: a file, see `hiertk.planner.accuracies`.
    """

    model: str
    link: Link
    input_size: int = 32
    stem: str = "torchvision"
    normalization: str = "batch"
    bottleneck: int | None = None
    slots: int = 16
    backend: str = "onnxruntime"
    batch_size: int = 32
    bits: int | None = None
    replay: int = 1
    compression: float | None = None
    edge_profile: Path | None = None
    cloud_profile: Path | None = None
    limits: Limits = field(default_factory=Limits)
    accuracies: Path | None = None

    @property
    def bit_choices(self) -> tuple[Bits, ...]:
        """The bits to try."""
        choices: tuple[Bits, ...] = get_args(Bits)
        return tuple(bits for bits in choices if self.bits in (None, bits))

    def check(self) -> None:
        """Refuse what no plan can be made of. Raises ConfigError."""
        check_choice("--stem", self.stem, get_args(Stem))
        check_choice("--normalization", self.normalization, get_args(Normalization))
        check_choice("--backend", self.backend, get_args(Backend))
        check_input_size(self.input_size)
        check_batch_size(self.batch_size)
        check_range("--replay", self.replay, 0, _MAX_REPLAY, "earlier batches")
        check_range("--class-capacity", self.slots, 1, MAX_CLASSES, "class slots")
        if self.bottleneck is not None:
            check_range("--bottleneck", self.bottleneck, 1, 1 << 20, "channels")
        if self.bits not in (None, *get_args(Bits)):
            raise ConfigError(f"--bits {self.bits}: features are sent at 8 or 4 bits")
        if self.compression is not None and not 0.01 <= self.compression <= 1000:
            raise ConfigError(
                f"--compression {self.compression:g}: packed bytes over compressed ones, "
                "from 0.01 to 1000, e.g. 1.5"
            )
        if not 0 < self.link.efficiency <= 1:
            raise ConfigError(
                f"--efficiency {self.link.efficiency:g}: a share of the line rate, e.g. 95%"
            )
        if self.limits.accuracy_drop is not None and self.accuracies is None:
            raise ConfigError("--max-accuracy-drop needs measured accuracies: add --accuracies")
