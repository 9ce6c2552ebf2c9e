"""Turns at the learner: whoever asks first has it first, so that a prediction waits for one step.

A plain lock would go back to the trainer again and again: it asks anew the moment it lets go.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """A lock that is handed on in the order in which it was asked for; any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_held = False
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for this thread's turn, and hold it during the block."""
        self._take()
        try:
            yield
        finally:
            self._hand_on()

    def _take(self) -> None:
        with self._lock:
            if not self._is_held:
                self._is_held = True
                return
            mine = threading.Event()
            self._waiting.append(mine)
        mine.wait()

    def _hand_on(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_held = False
