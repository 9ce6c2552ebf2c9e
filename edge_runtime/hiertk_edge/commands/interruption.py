"""Signals that ask `hiertk-edge run` to end."""

import signal
from types import FrameType


class Interruption:
    """Notes SIGINT and SIGTERM, so that the step at hand is finished; a second one ends at once."""

    def __init__(self) -> None:
        self.by: int | None = None
        signal.signal(signal.SIGINT, self._note)
        signal.signal(signal.SIGTERM, self._note)

    def is_asked(self) -> bool:
        """Return whether a signal has come."""
        return self.by is not None

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.by is not None:
            raise KeyboardInterrupt
        self.by = number
