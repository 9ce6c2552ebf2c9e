"""What training looks like now: means over the newest steps."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np
from hiertk_protocol.hiertk_pb2 import DeviceStatus

from hiertk_edge.learner import SlotArray, StepResult

NEWEST = 50


@dataclass(frozen=True)
class HeldOutClass:
    """How many of a class's held-out images the early exit names rightly."""

    right: int
    samples: int


class Progress:
    """Measures of the newest steps, as the device's status tells them."""

    def __init__(self, edge_step: int) -> None:
        self._edge_step = edge_step
        self._losses: deque[float] = deque(maxlen=NEWEST)
        self._accuracies: deque[float] = deque(maxlen=NEWEST)
        self._step_ms: deque[float] = deque(maxlen=NEWEST)
        self.held_out_accuracy = math.nan
        self.held_out_classes: Mapping[int, HeldOutClass] = {}
        """Of the newest measurement, by class slot."""
        self.bad_images = 0

    def add(self, result: StepResult, labels: SlotArray, *, edge_step: int, step_ms: float) -> None:
        """Take in one training step."""
        self._edge_step = edge_step
        self._losses.append(result.loss)
        self._accuracies.append(float(np.mean(result.predictions == labels)))
        self._step_ms.append(step_ms)

    def move(self, moves: Mapping[int, int | None]) -> None:
        """Let the measures follow their classes; of merged ones those of the last stay."""
        self.held_out_classes = {
            target: one
            for slot, one in self.held_out_classes.items()
            if (target := moves.get(slot, slot)) is not None
        }

    def status(self, state: DeviceStatus.State) -> DeviceStatus:
        """Return the trainer's part of the status."""
        return DeviceStatus(
            state=state,
            edge_step=self._edge_step,
            early_exit_loss=fmean(self._losses) if self._losses else math.nan,
            early_exit_accuracy=fmean(self._accuracies) if self._accuracies else math.nan,
            early_exit_held_out_accuracy=self.held_out_accuracy,
            step_ms=median(self._step_ms) if self._step_ms else math.nan,
            bad_images=self.bad_images,
        )
