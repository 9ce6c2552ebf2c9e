"""Profiles: what a device's or a cloud's own measurement says about every separation point.

A profile is of one network on one machine. The planner goes by it; `hiertk profile` and
`hiertk-edge profile` measure it. As a file: `profile_file`.
"""

from datetime import date
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hiertk_protocol.manifest import Backend, Normalization, Positive, Stem

PROFILE_VERSION = 1

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
    """What was measured; a plan for anything else cannot use the profile.

    split_count: separation points that the network has, measured or not.
    """

    name: Name
    stem: Stem
    normalization: Normalization
    bottleneck: Positive | None = None
    input_size: Positive
    slots: Positive
    split_count: Positive

    @property
    def raw_bytes(self) -> int:
        """Bytes of one input as 8-bit RGB."""
        return 3 * self.input_size**2


class TrainingEngine(_Record):
    """What trained, and on how many threads."""

    backend: Backend
    version: Annotated[str, Field(max_length=40)]
    threads: Positive


class StepTime(_Record):
    """Medians of one training step over so many samples, milliseconds.

    The whole is what was measured. On a device forward_ms is that of the inference form (the
    training step is one piece) and backward_ms the rest of the pass; in the cloud backward_ms
    includes the check of the gradients, and optimizer_ms is all that the trainer does besides:
    reading and decoding a batch, other checks, update, average.
    """

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

    bytes: of all messages, compressed, with everything around the features but MQTT's own header.
    handover_ms: what the device's step takes longer to make them and put them into the spool;
    quantize_ms and compress_ms are its main parts.
    """

    bits: Literal[8, 4]
    samples: Positive
    messages: Positive
    bytes: Annotated[int, Field(ge=1, le=1 << 40)]
    quantize_ms: Milliseconds
    compress_ms: Milliseconds
    handover_ms: Milliseconds


class EdgePoint(_Record):
    """One separation point on the device. steps: by rising samples.

    feature_shape: (C, H, W). edge_parameters: with the early exit's.
    wire: without the bits at which the features of one image fit no message.
    peak_memory_bytes: of the whole training process, at the largest of the sample counts.
    """

    split: Positive
    module: Annotated[str, Field(max_length=300)]
    feature_shape: tuple[Positive, Positive, Positive]
    edge_parameters: Annotated[int, Field(ge=1)]
    cloud_parameters: Annotated[int, Field(ge=0)]
    steps: Annotated[tuple[StepTime, ...], Field(min_length=1)]
    wire: Annotated[tuple[Wire, ...], Field(min_length=1)]
    peak_memory_bytes: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _bits_differ(self) -> "EdgePoint":
        if len({wire.bits for wire in self.wire}) < len(self.wire):
            raise ValueError("wires of the same bits")
        return self

    @property
    def values(self) -> int:
        """Feature values of one sample."""
        channels, height, width = self.feature_shape
        return channels * height * width

    def packed_bytes(self, bits: int) -> float:
        """Return the bytes of one sample before compression."""
        return self.values * bits / 8


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


def step_at(steps: tuple[StepTime, ...], samples: float) -> StepTime:
    """Return the time of a step over `samples`: straight lines between the measured counts.

    Beyond them the nearest line goes on; a single count is taken as proportional, but for the
    optimizer, whose time depends on the parameters alone. The result is no measurement: the bounds
    of a profile's values do not hold for it.
    """
    if len(steps) == 1:
        only, share = steps[0], samples / steps[0].samples
        return StepTime.model_construct(
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

    return StepTime.model_construct(
        samples=max(1, round(samples)),
        forward_ms=between(low.forward_ms, high.forward_ms),
        backward_ms=between(low.backward_ms, high.backward_ms),
        optimizer_ms=between(low.optimizer_ms, high.optimizer_ms),
    )


def _check_order(points: tuple[EdgePoint, ...] | tuple[CloudPoint, ...]) -> None:
    splits = [point.split for point in points]
    if splits != sorted(set(splits)):
        raise ValueError("separation points repeat or are out of order")
    for point in points:
        samples = [step.samples for step in point.steps]
        if samples != sorted(set(samples)):
            raise ValueError(f"the steps of separation point {point.split} are out of order")
