"""The study's device: the real learner, reservoir and codec, without agent, spool and network."""

import time
from collections.abc import Iterable
from pathlib import Path
from random import Random

import numpy as np
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.images import normalize
from hiertk_edge.learner import Float32Array, SlotArray
from hiertk_edge.rehearsal.reservoir import Reservoir
from hiertk_edge.rehearsal.room import plan_room
from hiertk_edge.training.encoding import BatchEncoder
from hiertk_edge.training.new_slots import NewSlots, TakingUp
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.hiertk_pb2 import FeatureBatch

from hiertk.study.images import Images
from hiertk.study.new_classes.methods import BATCH, SENT, Method

_NAME = "study"
_DRAWING, _KEEPING = 0, 1  # streams of random numbers of their own


class StudyDevice:
    """One device.

    practice: steps that follow each on a new class. steps: done by it so far. step_s: what they
    took, opening slots included, seconds.
    """

    def __init__(
        self,
        bundle: Bundle,
        method: Method,
        images: Images,
        *,
        memory_bytes: int,
        seed: int,
        epoch: int,
        checkpoint: Path | None = None,
    ) -> None:
        """Open the bundle, at a checkpoint if there is one.

        images: all that it will ever see. epoch: of its messages.
        """
        self._info = bundle.manifest.input
        self._learner = open_learner(bundle, checkpoint=checkpoint)
        self._new_slots = NewSlots(
            self._learner,
            bundle.manifest.classes,
            TakingUp(imprint=method.imprinted, logit_adjustment=method.adjusted, seed=seed),
        )
        self._encoder = BatchEncoder(bundle.manifest, _NAME)
        self._images = images
        self._rehearses = method.rehearses
        self.practice = method.practice
        capacity = len(images) if method.all_at_once else _capacity(bundle, memory_bytes)
        self._reservoir = Reservoir(capacity)
        self._drawing = Random(f"{seed} {_DRAWING}")
        self._keeping = Random(f"{seed} {_KEEPING}")
        self._epoch = epoch
        self._messages = 0
        self.steps = 0
        self.step_s = 0.0

    @property
    def bytes(self) -> int:
        """What the kept images take, as pixels."""
        return len(self._reservoir) * self._info.raw_bytes if self._rehearses else 0

    def keep(self, fresh: Iterable[int]) -> None:
        """Let the reservoir choose what it keeps of images that were trained on."""
        for number in fresh:
            self._reservoir.add(int(self._images.slots[number]), number, self._keeping)

    def lesson(self, fresh: list[int], version: int) -> list[FeatureBatch]:
        """Train on new images, filled up with rehearsed ones; return what goes to the cloud.

        fresh: may be none, for practice. version: of the class map, that the messages name.
        """
        missing = BATCH - len(fresh) if self._rehearses else 0
        numbers = fresh + self._reservoir.draw(missing, self._drawing)
        images, labels = self._input(numbers), self._images.slots[numbers]
        started = time.perf_counter()
        edge_step = self._learner.edge_step
        self._new_slots.prepare(images, labels)
        result = self._learner.step(images, labels)
        self.step_s += time.perf_counter() - started
        self.steps += 1
        self.keep(fresh)
        sent = min(len(numbers), max(len(fresh), SENT))
        messages = self._encoder.encode(
            result.rows(0, sent),
            labels[:sent],
            edge_step=edge_step,
            purpose=FeatureBatch.TRAIN,
        )
        for message in messages:
            self._messages += 1
            message.epoch, message.seq, message.floor = self._epoch, self._messages, 1
            message.class_map_version = version
        return messages

    def see(self, images: Images) -> tuple[SlotArray, Float32Array]:
        """Return the early exit's class slots (N,), and the features, of images to measure on."""
        seen = self._learner.evaluate(normalize(images.pixels, self._info))
        return seen.predictions, seen.features

    def save(self, path: Path) -> None:
        """Write the learner's checkpoint."""
        self._learner.save(path)

    def _input(self, numbers: list[int]) -> Float32Array:
        return normalize(self._images.pixels[np.array(numbers)], self._info)


def _capacity(bundle: Bundle, memory_bytes: int) -> int:
    """Return how many images the device's rehearsal memory holds in so many bytes."""
    manifest = bundle.manifest
    return plan_room(
        manifest.input.raw_bytes,
        max_bytes=memory_bytes,
        max_waiting=0,
        held_out_share=0,
        class_slots=manifest.classes.capacity,
    ).reservoir
