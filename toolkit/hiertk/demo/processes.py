"""The demo's child processes: started apart from the terminal, and ended whatever happens."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from hiertk_protocol.errors import StorageError, error_of_exit_code
from typing_extensions import Self

_STOP_TIMEOUT_S = 15.0


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Put Ctrl-C off until the block ends: a child that was started must be known to be ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda got, _frame: came.append(got)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        for got in came:
            signal.raise_signal(got)


@dataclass
class Child:
    """One process and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def is_done(self) -> bool:
        """Whether it ended well. Raises the error that it reported, if any."""
        code = self.process.poll()
        if code is None:
            return False
        if code != 0:
            message = f"{self.name} ended with exit code {code}: {_last_line(self.log)}"
            raise error_of_exit_code(code)(message)
        return True

    def stop(self) -> None:
        """Ask it to end, and end it if it does not."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass
class Children:
    """All child processes; none is left when the block ends."""

    logs: Path
    started: list[Child] = field(default_factory=list)

    def start(self, name: str, module: str, *arguments: str) -> Child:
        """Run `python -m MODULE ARGUMENTS`, its output going to a file of its own."""
        log = self.logs / f"{name}.log"
        # A session of its own: Ctrl-C in the terminal reaches the demo alone, which ends the rest.
        with log.open("wb") as output, _interrupted_later():
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # More threads than free cores: those that wait must not keep the others from work.
                env=os.environ | {"OMP_WAIT_POLICY": "passive"},
                start_new_session=True,
            )
            child = Child(name, process, log)
            self.started.append(child)
        return child

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        for child in reversed(self.started):
            child.stop()


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError as error:
        raise StorageError(f"cannot read {log}: {error.strerror}") from error
    return lines[-1] if lines else "it said nothing"
