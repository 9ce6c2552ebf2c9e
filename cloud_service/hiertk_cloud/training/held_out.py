"""Accuracy on held-out batches, per device and round of evaluation. Pure.

A round is what one device sends with the same edge step. The newest round counts from the moment
it holds as many samples as the one before it; until then, that one does.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field


class Round(BaseModel):
    """What one device's round has shown so far."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    edge_step: int = Field(ge=0)
    samples: int = Field(ge=1)
    final_exit_correct: int = Field(ge=0)
    early_exit_correct: int = Field(ge=0)

    def plus(self, other: "Round") -> "Round":
        """Return both parts of a round as one."""
        return Round(
            edge_step=self.edge_step,
            samples=self.samples + other.samples,
            final_exit_correct=self.final_exit_correct + other.final_exit_correct,
            early_exit_correct=self.early_exit_correct + other.early_exit_correct,
        )


class DeviceRounds(BaseModel):
    """One device's newest round, and the one before it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    newest: Round
    previous: Round | None = None

    @property
    def counting(self) -> Round:
        """The round that counts."""
        if self.previous is not None and self.newest.samples < self.previous.samples:
            return self.previous
        return self.newest

    def after(self, part: Round) -> "DeviceRounds":
        """Return the rounds with one more batch."""
        if part.edge_step == self.newest.edge_step:
            return DeviceRounds(newest=self.newest.plus(part), previous=self.previous)
        return DeviceRounds(newest=part, previous=self.newest)

    def again(self, part: Round) -> "DeviceRounds":
        """Return the rounds with the newest one begun anew, by its first batch."""
        return DeviceRounds(newest=part, previous=self.counting)


@dataclass(frozen=True)
class Accuracies:
    """Mean over devices of both exits' accuracy on the same samples; NaN until measured."""

    final_exit: float = math.nan
    early_exit: float = math.nan


def mean_accuracies(devices: Iterable[DeviceRounds]) -> Accuracies:
    """Return the mean over devices, each counting alike."""
    rounds = [device.counting for device in devices]
    if not rounds:
        return Accuracies()
    return Accuracies(
        final_exit=sum(one.final_exit_correct / one.samples for one in rounds) / len(rounds),
        early_exit=sum(one.early_exit_correct / one.samples for one in rounds) / len(rounds),
    )
