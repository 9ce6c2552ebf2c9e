"""What is wrong with the service now: one line each, told once when it begins and when it ends."""

import threading
from collections.abc import Callable


class Problems:
    """The current problems by kind; any thread may call it."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        """Begin without problems. tell: gets event and text."""
        self._tell = tell
        self._lock = threading.Lock()
        self._current: dict[str, str] = {}

    @property
    def lines(self) -> tuple[str, ...]:
        """The current problems."""
        with self._lock:
            return tuple(self._current.values())

    def begin(self, kind: str, text: str) -> None:
        """Note a problem; it is told unless one of its kind goes on already."""
        with self._lock:
            is_new = kind not in self._current
            self._current[kind] = text
        if is_new:
            self._tell(kind, text)

    def end(self, kind: str, text: str = "") -> None:
        """Note that a problem is over; told if there was one, and there is a text."""
        with self._lock:
            was_there = self._current.pop(kind, None) is not None
        if was_there and text:
            self._tell(kind, text)
