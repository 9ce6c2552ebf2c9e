"""A child process that speaks in JSON lines, each noted with the time at which it came."""

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from benchmarks.workplace import environment

_STOP_TIMEOUT_S = 15.0
_PATIENCE_S = 120.0
_CLOUD_PATIENCE_S = 900.0


def end_process(process: subprocess.Popen[Any], timeout_s: float) -> None:
    """Ask a process to end, and end it if it does not."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(is_there: Callable[[], bool]) -> None:
    """Wait until a cloud has come so far. Raises RuntimeError if it does not."""
    deadline = time.monotonic() + _CLOUD_PATIENCE_S
    while not is_there():
        if time.monotonic() > deadline:
            raise RuntimeError("the cloud does not get there")
        time.sleep(0.2)


class LineProcess:
    """Started when entered, on one core if there are several, and ended when left."""

    def __init__(self, command: list[str], *, core: int) -> None:
        self._command = command
        self._core = core
        self._lines: queue.Queue[tuple[float, dict[str, Any]] | None] = queue.Queue()

    def __enter__(self) -> "LineProcess":  # noqa: PYI034
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        cores = sorted(os.sched_getaffinity(0))
        # Its threads inherit this; Python has not come to start any yet.
        os.sched_setaffinity(self._process.pid, {cores[self._core % len(cores)]})
        self._errors: list[str] = []
        self._readers = [threading.Thread(target=self._read), threading.Thread(target=self._drain)]
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        end_process(self._process, _STOP_TIMEOUT_S)
        for reader in self._readers:
            reader.join()
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._process.stdout.close()
        self._process.stderr.close()

    def wait_for(self, **wanted: object) -> tuple[float, dict[str, Any]]:
        """Return the next line with these fields, and the time at which it came."""
        return self.wait_until(
            lambda line: all(line.get(name) == value for name, value in wanted.items())
        )

    def wait_until(
        self, is_wanted: Callable[[dict[str, Any]], bool]
    ) -> tuple[float, dict[str, Any]]:
        """Return the next line that is wanted, and the time at which it came."""
        while True:
            found = self._lines.get(timeout=_PATIENCE_S)
            if found is None:
                raise RuntimeError(f"{' '.join(self._command)} ended: {''.join(self._errors)}")
            if is_wanted(found[1]):
                return found

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            now = time.monotonic()
            if line.startswith("{"):
                self._lines.put((now, json.loads(line)))
        self._lines.put(None)

    def _drain(self) -> None:
        assert self._process.stderr is not None
        self._errors.extend(self._process.stderr)
