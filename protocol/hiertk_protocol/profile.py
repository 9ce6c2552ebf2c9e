"""Profiles: what a device's or a cloud's own measurement says about every separation point.

A profile is a small TOML file of one network on one machine. The planner reads it; `hiertk profile`
and `hiertk-edge profile` write it.
"""

import sys
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.files import atomic_file
from hiertk_protocol.manifest import Backend, Normalization, Positive, Stem

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_PROFILE_BYTES = 1 << 20

Milliseconds = Annotated[float, Field(ge=0, le=1e7)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MachineInfo(_Record):
    """Where it was measured."""

    processor: Name
    cores: Positive
    memory_bytes: Annotated[int, Field(ge=1)]
    system: Name


class NetworkInfo(_Record):
    """What was measured; a plan for anything else cannot use the profile."""

    name: Name
    stem: Stem
    normalization: Normalization
    bottleneck: Positive | None = None
    input_size: Positive
    slots: Positive


class TrainingEngine(_Record):
    """What trained, and on how many threads."""

    backend: Backend
    version: Annotated[str, Field(max_length=40)]
    threads: Positive


class StepTime(_Record):
    """Medians of one training step over so many samples, milliseconds."""

    samples: Positive
    forward_ms: Milliseconds
    backward_ms: Milliseconds
    optimizer_ms: Milliseconds

    @property
    def total_ms(self) -> float:
        """The whole step."""
        return self.forward_ms + self.backward_ms + self.optimizer_ms


class Wire(_Record):
    """The features of one batch of `samples` images at some bits, as messages.

    bytes: of all messages, compressed, with everything around the features. handover_ms: what the
    device's step takes longer to make them and put them into the spool; quantize_ms and
    compress_ms are its main parts.
    """

    bits: Literal[8, 4]
    samples: Positive
    messages: Positive
    bytes: Positive
    quantize_ms: Milliseconds
    compress_ms: Milliseconds
    handover_ms: Milliseconds


class EdgePoint(_Record):
    """One separation point on the device. steps: by rising samples.

    peak_memory_bytes: of the whole training process, at the largest of the sample counts.
    """

    split: Positive
    module: Annotated[str, Field(max_length=300)]
    steps: Annotated[tuple[StepTime, ...], Field(min_length=1)]
    wire: Annotated[tuple[Wire, ...], Field(min_length=1)]
    peak_memory_bytes: Annotated[int, Field(ge=1)]


class CloudPoint(_Record):
    """The cloud partition after one separation point; split 0 is the whole network.

    receive_ms: taking one message in: check, log, commit.
    """

    split: Annotated[int, Field(ge=0)]
    module: Annotated[str, Field(max_length=300)]
    steps: Annotated[tuple[StepTime, ...], Field(min_length=1)]
    receive_ms: Milliseconds


class _Profile(_Record):
    profile_version: Literal[1] = 1
    hiertk_version: Name
    measured_on: date
    images: Name  # what the features were made of: their compression depends on it
    machine: MachineInfo
    network: NetworkInfo
    engine: TrainingEngine


class EdgeProfile(_Profile):
    """What one device takes. prepare_ms: reading and preprocessing one image."""

    role: Literal["edge"] = "edge"
    prepare_ms: Milliseconds
    points: Annotated[tuple[EdgePoint, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _in_order(self) -> "EdgeProfile":
        _check_order(self.points)
        return self


class CloudProfile(_Profile):
    """What one cloud takes."""

    role: Literal["cloud"] = "cloud"
    points: Annotated[tuple[CloudPoint, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _in_order(self) -> "CloudProfile":
        _check_order(self.points)
        return self


_AnyProfile = TypeVar("_AnyProfile", EdgeProfile, CloudProfile)


def step_at(steps: tuple[StepTime, ...], samples: float) -> StepTime:
    """Return the time of a step over `samples`: straight lines between the measured counts.

    Beyond them the nearest line goes on; a single count is taken as proportional, but for the
    optimizer, whose time depends on the parameters alone.
    """
    if len(steps) == 1:
        only, share = steps[0], samples / steps[0].samples
        return StepTime(
            samples=max(1, round(samples)),
            forward_ms=only.forward_ms * share,
            backward_ms=only.backward_ms * share,
            optimizer_ms=only.optimizer_ms,
        )
    pairs = list(pairwise(steps))
    low, high = next((pair for pair in pairs if samples <= pair[1].samples), pairs[-1])
    share = (samples - low.samples) / (high.samples - low.samples)

    def between(a: float, b: float) -> float:
        return max(0.0, a + share * (b - a))

    return StepTime(
        samples=max(1, round(samples)),
        forward_ms=between(low.forward_ms, high.forward_ms),
        backward_ms=between(low.backward_ms, high.backward_ms),
        optimizer_ms=between(low.optimizer_ms, high.optimizer_ms),
    )


def read_edge_profile(path: Path) -> EdgeProfile:
    """Read a device's profile. Raises ConfigError, naming the first field that is wrong."""
    return _read(path, EdgeProfile)


def read_cloud_profile(path: Path) -> CloudProfile:
    """Read a cloud's profile. Raises ConfigError, naming the first field that is wrong."""
    return _read(path, CloudProfile)


def write_profile(path: Path, profile: EdgeProfile | CloudProfile) -> None:
    """Write a profile as TOML, atomically. Raises StorageError."""
    with atomic_file(path) as temporary:
        content = profile.model_dump(mode="python", exclude_none=True)
        temporary.write_text(tomli_w.dumps(content), encoding="utf-8")


def _read(path: Path, kind: type[_AnyProfile]) -> _AnyProfile:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PROFILE_BYTES + 1)
        if len(data) > MAX_PROFILE_BYTES:
            raise ConfigError(f"{path}: more than {MAX_PROFILE_BYTES} bytes: not a profile")
        return kind.model_validate(tomllib.loads(data.decode()))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: measure one with hiertk profile") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ConfigError(
            f"{path}: not a profile of the {_role(kind)}: {place}: {first['msg']}: measure it again"
        ) from error
    except ValueError as error:  # TOML or UTF-8
        raise ConfigError(f"{path}: not TOML: {error}: measure it again") from error


def _role(kind: type[_AnyProfile]) -> str:
    return str(kind.model_fields["role"].default)


def _check_order(points: tuple[EdgePoint, ...] | tuple[CloudPoint, ...]) -> None:
    splits = [point.split for point in points]
    if splits != sorted(set(splits)):
        raise ValueError("separation points repeat or are out of order")
    for point in points:
        samples = [step.samples for step in point.steps]
        if samples != sorted(set(samples)):
            raise ValueError(f"the steps of separation point {point.split} are out of order")
