"""What a study was to show and what it shows, for its page and for the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

from hiertk.study.markdown import table


@dataclass(frozen=True)
class Verdict:
    """One number against its target. wanted, found: with their units, as people read them."""

    what: str
    wanted: str
    found: str
    is_met: bool

    @property
    def mark(self) -> str:
        """The outcome in Markdown."""
        return "met" if self.is_met else "**missed**"

    @property
    def line(self) -> str:
        """The verdict in the terminal."""
        outcome = "met" if self.is_met else "missed"
        return f"{self.what}: {self.found}, wanted {self.wanted}: {outcome}"


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """Return the verdicts as a Markdown table."""
    rows = [[one.what, one.wanted, one.found, one.mark] for one in verdicts]
    return table(["what", "wanted", "found", "verdict"], rows)
