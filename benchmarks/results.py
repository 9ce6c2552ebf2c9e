"""Results of benchmarks, and the file that keeps them from run to run."""

import time
from pathlib import Path

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.files import atomic_file
from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.figures import Figure
from benchmarks.machine import Machine


class Result(BaseModel):
    """One benchmark's figures, and where and when they were measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    how: str
    date: str
    seconds: float
    machine: Machine
    figures: tuple[Figure, ...]

    @property
    def command(self) -> str:
        """What measures it again."""
        return f"python -m benchmarks {self.name}"


class Results(BaseModel):
    """The newest result of each benchmark, by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    results: dict[str, Result] = {}

    def with_newer(self, newer: list[Result]) -> "Results":
        """Return these results, replaced by newer ones where there are any."""
        return Results(results=self.results | {result.name: result for result in newer})


def today() -> str:
    """Return the date as written to results."""
    return time.strftime("%Y-%m-%d")


def read_results(path: Path) -> Results:
    """Read what earlier runs left. Raises ConfigError if it is no such file."""
    if not path.exists():
        return Results()
    try:
        return Results.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigError(f"{path}: not results of this version: remove it ({error})") from error


def write_results(path: Path, results: Results) -> None:
    """Write results as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        temporary.write_text(results.model_dump_json(indent=1) + "\n")
