"""What is taught and asked in the study: both sides of a deployment, or streaming LDA on top."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from hiertk_protocol.codec import quantize

from hiertk.study.images import Images, SlotArray
from hiertk.study.new_classes.cloud import StudyCloud
from hiertk.study.new_classes.device import StudyDevice
from hiertk.study.new_classes.slda import Float32Array, StreamingLda

_AT_ONCE = 100  # images


@dataclass(frozen=True)
class Answers:
    """What both exits say of some images: class slots, (N,) int64."""

    early: SlotArray
    final: SlotArray


class Learning(Protocol):
    """Whatever learns from a stream of labelled images and answers for both exits."""

    @property
    def seconds(self) -> float | None:
        """What the device's training took so far; None where nothing trains on it."""

    @property
    def device_bytes(self) -> int:
        """What the device keeps for not forgetting."""

    @property
    def cloud_bytes(self) -> int:
        """What the cloud keeps for not forgetting."""

    @property
    def edge_steps(self) -> int:
        """The device's steps so far."""

    def name(self, name: str) -> None:
        """Take up a class by its name; its slot is the lowest free one."""

    def teach(self, fresh: list[int], *, practice: bool = False) -> None:
        """Learn from images, by their numbers, that it did not see before.

        practice: go over what is known afterwards, as a method does after a new class.
        """

    def answer(self, images: Images) -> Answers:
        """Classify images."""


class BothSides:
    """A device and a cloud that learn as they do in the field."""

    def __init__(self, device: StudyDevice, cloud: StudyCloud, bits: int) -> None:
        self._device = device
        self._cloud = cloud
        self._bits = bits

    @property
    def seconds(self) -> float | None:
        return self._device.step_s

    @property
    def device_bytes(self) -> int:
        return self._device.bytes

    @property
    def cloud_bytes(self) -> int:
        return self._cloud.bytes

    @property
    def edge_steps(self) -> int:
        return self._device.steps

    def name(self, name: str) -> None:
        self._cloud.name(name)

    def teach(self, fresh: list[int], *, practice: bool = False) -> None:
        self._cloud.take(self._device.lesson(fresh, self._cloud.version))
        for _ in range(self._device.practice if practice else 0):
            self._cloud.take(self._device.lesson([], self._cloud.version))

    def answer(self, images: Images) -> Answers:
        early, final = [], []
        for part in images.parts(_AT_ONCE):
            slots, features = self._device.see(part)
            early.append(slots)
            final.append(self._cloud.predict(quantize(features, self._bits)))
        return Answers(np.concatenate(early), np.concatenate(final))


class LdaOnBase:
    """Streaming LDA on what the exits' linear layers see in the base, which stays as it is.

    early: on the edge partition's pooled features; final: on the input of the final exit's layer,
    behind the codec.
    """

    def __init__(
        self, device: StudyDevice, cloud: StudyCloud, bits: int, images: Images, classes: int
    ) -> None:
        self._device = device
        self._cloud = cloud
        self._bits = bits
        self._images = images
        one = self._seen(images.take([0]))
        self._early, self._final = (StreamingLda(part.shape[1], classes) for part in one)

    @property
    def seconds(self) -> float | None:
        return None

    @property
    def device_bytes(self) -> int:
        return self._early.bytes

    @property
    def cloud_bytes(self) -> int:
        return self._final.bytes

    @property
    def edge_steps(self) -> int:
        return 0

    def name(self, name: str) -> None:
        """Do nothing: a class begins with its first sample."""

    def teach(self, fresh: list[int], *, practice: bool = False) -> None:  # noqa: ARG002
        for part in self._images.take(fresh).parts(_AT_ONCE):
            early, final = self._seen(part)
            self._early.learn(early, part.slots)
            self._final.learn(final, part.slots)

    def answer(self, images: Images) -> Answers:
        answers = []
        for part in images.parts(_AT_ONCE):
            early, final = self._seen(part)
            answers.append((self._early.predict(early), self._final.predict(final)))
        return Answers(
            np.concatenate([early for early, _ in answers]),
            np.concatenate([final for _, final in answers]),
        )

    def _seen(self, images: Images) -> tuple[Float32Array, Float32Array]:
        _, features = self._device.see(images)
        final = self._cloud.final_exit_inputs(quantize(features, self._bits))
        return features.mean(axis=(2, 3)), final
