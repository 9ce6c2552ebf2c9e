"""`hiertk-edge run` as a child that tells each of its statuses, and its peak memory in the end."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.processor import processor_s
from benchmarks.workplace import environment, python

_PATIENCE_S = 300.0
_LOOKED_AT = 50


class AgentRun:
    """A running agent and its lines; ended when left, and its peak memory known then."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self._arguments = arguments
        self._log = log
        self.peak_bytes = 0

    def __enter__(self) -> "AgentRun":  # noqa: PYI034
        agent = python("benchmarks.agent_process", *self._arguments)
        with self._log.with_suffix(".err").open("wb") as errors, self._log.open("wb") as output:
            self._process = subprocess.Popen(
                python("benchmarks.peak_memory", *agent),
                stdout=output,
                stderr=errors,
                env=environment(),
            )
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(IndexError, OSError):  # it has ended by itself
            os.kill(self.pid, signal.SIGTERM)
        self._process.wait(60)
        last = self._log.with_suffix(".err").read_text().splitlines()[-1]
        self.peak_bytes = int(last)

    @property
    def pid(self) -> int:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return int(children.read_text().split()[0])

    def lines(self, newest: int = 0) -> list[dict[str, Any]]:
        """Return its statuses, or only the newest so many, in order."""
        whole = [one for one in self._log.read_text().splitlines() if one.endswith("}")]
        return [json.loads(one) for one in whole[-newest:]]

    def wait(self, is_there: Callable[[dict[str, Any]], bool]) -> None:
        """Wait for a status. Raises RuntimeError if it does not come."""
        deadline = time.monotonic() + _PATIENCE_S
        while not any(map(is_there, self.lines(_LOOKED_AT))):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(self._log.with_suffix(".err").read_text())
            time.sleep(0.2)

    def processor_s(self) -> float:
        """Return the seconds of a processor that it has taken so far."""
        return processor_s(self.pid)
