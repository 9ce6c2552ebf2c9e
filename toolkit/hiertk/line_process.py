"""A child process that speaks in JSON lines, each noted with the time at which it came."""

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from hiertk_protocol.errors import HiertkError, error_of_exit_code
from typing_extensions import Self

_STOP_TIMEOUT_S = 15.0
_PATIENCE_S = 120.0
_SHOWN = 200


def end_process(process: subprocess.Popen[Any], timeout_s: float) -> None:
    """Ask a process to end, and end it if it does not."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class LineProcess:
    """Started when entered, on one core if there are several, and ended when left.

    environment: None for this process's own, with one thread for the engines. patience_s: how long
    it may say nothing while a line is waited for.
    """

    def __init__(
        self,
        command: list[str],
        *,
        core: int,
        environment: Mapping[str, str] | None = None,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._patience_s = patience_s
        self._command = command
        self._core = core
        self._environment = environment or os.environ | {"OMP_NUM_THREADS": "1"}
        self._lines: queue.Queue[tuple[float, dict[str, Any]] | None] = queue.Queue()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C in the terminal reaches the one that started it alone, which ends it.
            start_new_session=True,
            env=self._environment,
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
        """Return the next line that is wanted, and the time at which it came.

        Raises the error that the process reports if it ends before, HiertkError if it is silent.
        """
        while True:
            try:
                found = self._lines.get(timeout=self._patience_s)
            except queue.Empty as error:
                raise HiertkError(
                    f"{self._name} has said nothing for {self._patience_s:.0f} s"
                ) from error
            if found is None:
                raise self._error()
            if is_wanted(found[1]):
                return found

    @property
    def _name(self) -> str:
        return " ".join(self._command)[:_SHOWN]

    def _error(self) -> HiertkError:
        code = self._process.wait()
        said = "".join(self._errors).strip().splitlines() or ["it said nothing"]
        return error_of_exit_code(code)(f"{self._name} ended with exit code {code}: {said[-1]}")

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
