"""A thread that does one piece of work after another until it is stopped or fails."""

import threading
import time
from collections.abc import Callable


class Worker:
    """Calls `turn` again and again; a turn takes a fraction of a second."""

    def __init__(self, name: str, turn: Callable[[], None], alarm: threading.Event) -> None:
        """Prepare the thread; `alarm` is set if it fails."""
        self._turn = turn
        self._alarm = alarm
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Wait for the turn in progress, and end."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def turn_s(self) -> float:
        """How long the turn in progress has taken, seconds: what a watchdog looks at."""
        return time.monotonic() - self._began

    def check(self) -> None:
        """Raise what ended the thread, if anything did."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._began = time.monotonic()
                self._turn()
        except Exception as error:  # noqa: BLE001  (check() raises it in the owner's thread)
            self._failure = error
            self._alarm.set()
