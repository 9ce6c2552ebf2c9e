"""Figures: measured samples, what they were to reach, and what came of it."""

from collections.abc import Callable, Sequence
from statistics import median, quantiles
from typing import Literal

from pydantic import BaseModel, ConfigDict

Measurement = Callable[[], float]


class Target(BaseModel):
    """What a figure is to reach."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["at most", "at least"]
    bound: float

    def verdict(self, value: float) -> str:
        """Return "met", or by how much it was missed."""
        is_met = value <= self.bound if self.kind == "at most" else value >= self.bound
        return "met" if is_met else f"missed by {abs(value / self.bound - 1):.0%}"


class Figure(BaseModel):
    """One row of the table. samples: one per repetition, in the figure's unit ("" for a ratio)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: str
    unit: str
    samples: tuple[float, ...]
    target: Target | None = None

    @property
    def value(self) -> float:
        """The median of the samples."""
        return median(self.samples)

    @property
    def verdict(self) -> str:
        """Whether the target is met; "-" without one."""
        return "-" if self.target is None else self.target.verdict(self.value)

    @property
    def text(self) -> str:
        """The value with its unit, quartiles and number of repetitions, for people."""
        text = f"{self._number(self.value)}{f' {self.unit}' if self.unit else ''}"
        if len(self.samples) < 3:
            return text
        low, _, high = quantiles(self.samples, n=4, method="inclusive")
        return f"{text} ({self._number(low)} to {self._number(high)}, n={len(self.samples)})"

    @property
    def target_text(self) -> str:
        """The target with its unit, for people."""
        if self.target is None:
            return "-"
        return f"{self.target.kind} {self.target.bound:g}{f' {self.unit}' if self.unit else ''}"

    @staticmethod
    def _number(value: float) -> str:
        return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def at_most(bound: float) -> Target:
    """Return the target of a figure that is to stay small."""
    return Target(kind="at most", bound=bound)


def at_least(bound: float) -> Target:
    """Return the target of a figure that is to be large."""
    return Target(kind="at least", bound=bound)


def interleave(measurements: Sequence[Measurement], repetitions: int) -> list[list[float]]:
    """Measure A, B, ..., A, B, ... after one turn of warm-up; return the samples of each.

    Whatever slows the machine down for a while then meets all of them alike.
    """
    samples: list[list[float]] = [[] for _ in measurements]
    for repetition in range(repetitions + 1):
        for place, measure in zip(samples, measurements, strict=True):
            value = measure()
            if repetition:
                place.append(value)
    return samples


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> tuple[float, ...]:
    """Return the quotient of each pair of neighbouring measurements."""
    return tuple(a / b for a, b in zip(numerators, denominators, strict=True))
