"""A command line in this process, which loads what is heavy once for all tests.

Exit code, output and errors are those of the console script. That a real process does the same is
held by the tests that start one, and by the pages' commands.
"""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Ended:
    """What a process of the same command would leave behind."""

    returncode: int
    stdout: str
    stderr: str


def run_here(main: Callable[[], None], *arguments: str | Path, folder: Path) -> Ended:
    """Run a console script's function as if its arguments were typed in a folder."""
    code = 0
    with (
        pytest.MonkeyPatch.context() as patch,
        _signals_restored(),
        redirect_stdout(StringIO()) as output,
        redirect_stderr(StringIO()) as errors,
    ):
        patch.chdir(folder)
        patch.delenv("HIERTK_DEBUG", raising=False)
        patch.setattr(sys, "argv", ["command", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Ended(code, output.getvalue(), errors.getvalue())


@contextmanager
def _signals_restored() -> Iterator[None]:
    """Put the handlers back: a command sets its own, and expects its process to end."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
