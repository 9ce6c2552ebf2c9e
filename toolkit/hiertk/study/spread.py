"""A figure of several seeds."""

from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True)
class Spread:
    """Shares, or differences of shares, one for each seed."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def percent(self) -> str:
        """Mean, lowest and highest in percent; or points."""
        low, high = (f"{100 * one:.1f}" for one in (min(self.values), max(self.values)))
        text = f"{100 * self.mean:.1f}"
        return text if len(self.values) == 1 else f"{text} ({low} to {high})"
