"""How the early exit takes a class up that the bundle did not have: on its first examples."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from hiertk_protocol.manifest import ClassInfo
from hiertk_protocol.new_class import ExitRow, imprinted_row

from hiertk_edge.learner import Float32Array, Learner, SlotArray
from hiertk_edge.training.class_counts import ClassCounts


@dataclass(frozen=True)
class TakingUp:
    """How it is done.

    imprint: begin with a row made from the examples, instead of a random one. logit_adjustment:
    correct the loss for how rare each class is in what is trained on. seed: of random rows.
    """

    imprint: bool = True
    logit_adjustment: bool = True
    seed: int = 0


class NewSlots:
    """Makes a learner ready for batches with classes that are new to it.

    As long as only exported classes are trained on, it changes nothing and costs nothing.
    """

    def __init__(self, learner: Learner, classes: ClassInfo, how: TakingUp) -> None:
        self._learner = learner
        self._how = how
        self._counts = ClassCounts(classes.capacity)
        self._has_new = not learner.open_slots <= set(range(len(classes.names)))

    def prepare(self, images: Float32Array, labels: SlotArray) -> None:
        """Open the slots of a batch's labels, and adjust the loss, before the step on that batch.

        Raises ConfigError for a label that is no slot.
        """
        missing = sorted(set(labels.tolist()) - self._learner.open_slots)
        if missing:
            self._open(missing, images, labels)
            self._has_new = True
        if self._how.logit_adjustment:
            self._counts.add(labels)
            if self._has_new:
                self._learner.adjust(self._counts.prior())

    def move(self, moves: Mapping[int, int | None]) -> None:
        """Follow classes that are in other slots now; None: nowhere."""
        self._counts.move(moves)

    def _open(self, missing: list[int], images: Float32Array, labels: SlotArray) -> None:
        self._learner.exit_rows(missing)  # raises for what is no slot, before anything is opened
        if not self._how.imprint:
            for slot in missing:
                self._learner.open_slot(slot, self._random_row(slot))
            return
        # What the exit's linear layer sees in the inference form, with which it will be asked.
        pooled = self._learner.evaluate(images).features.mean(axis=(2, 3))
        for slot in missing:
            self._learner.open_slot(slot, self._imprinted(slot, pooled, labels))

    def _imprinted(self, slot: int, pooled: Float32Array, labels: SlotArray) -> ExitRow:
        known = sorted(self._learner.open_slots)
        channels = pooled.shape[1]
        rows = self._learner.exit_rows(known)
        weight = np.array([row.weight for row in rows], np.float32).reshape(-1, channels)
        bias = np.array([row.bias for row in rows], np.float32)
        others = pooled[np.isin(labels, known)]
        return imprinted_row(
            pooled[labels == slot],
            others.mean(axis=0, dtype=np.float64).astype(np.float32) if len(others) else None,
            weight,
            bias,
        )

    def _random_row(self, slot: int) -> ExitRow:
        """Return a row as PyTorch's linear layer begins with, always the same for a slot."""
        channels = len(self._learner.exit_rows([slot])[0].weight)
        generator = np.random.default_rng([self._how.seed, slot])
        values = generator.uniform(-1, 1, channels + 1) / np.sqrt(channels)
        return ExitRow(values[:-1].astype(np.float32), float(values[-1]))
