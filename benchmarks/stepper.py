"""A process that takes training steps in turn with others."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType

from hiertk_protocol.bundle import Bundle

from benchmarks.workplace import environment, python

_STEPS = 5


@dataclass
class Stepper:
    """One engine in its process, which `command` starts.

    peak_bytes: of its memory, once it has ended; 0 where the process does not tell.
    """

    command: Sequence[str]
    peak_bytes: int = 0

    def __enter__(self) -> "Stepper":  # noqa: PYI034
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        last, _ = self._process.communicate()
        self.peak_bytes = int(json.loads(last)) if last.strip() else 0

    def turn(self) -> float:
        """Do some steps and return the median of their milliseconds, less the first."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{_STEPS}\n")
        self._process.stdin.flush()
        took: list[float] = json.loads(self._process.stdout.readline())
        return median(took[1:])


def python_stepper(bundle: Bundle, images: Path, engine: str, batch_size: int) -> Stepper:
    """Return an engine of `benchmarks.step_process`."""
    folder = str(bundle.folder)
    command = python("benchmarks.step_process", engine, folder, f"folder:{images}", str(batch_size))
    return Stepper(command)
