"""What other threads have for the uplink's thread: events to handle, and wake-up calls."""

import threading
import time
from collections import deque
from collections.abc import Callable

Event = Callable[[], None]
_MOST_MESSAGES = 256


class Inbox:
    """A bounded queue that can be waited for; any thread may put something in."""

    def __init__(self) -> None:
        self._woken = threading.Condition()
        self._is_woken = False
        self._is_closed = False
        self._events: deque[Event] = deque()

    def put(self, event: Event) -> None:
        """Put in what must not be lost, and wake the uplink."""
        with self._woken:
            self._events.append(event)
            self._wake()

    def put_message(self, event: Event) -> None:
        """Put in a message's event, unless there are too many: what a flood loses comes again."""
        with self._woken:
            if len(self._events) < _MOST_MESSAGES:
                self._events.append(event)
            self._wake()

    def wake(self) -> None:
        """Only wake the uplink."""
        with self._woken:
            self._wake()

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._woken:
            self._is_closed = True
            self._wake()

    def take(self) -> list[Event]:
        """Return all events, in order; none of them is left."""
        with self._woken:
            self._is_woken = False
            events = list(self._events)
            self._events.clear()
            return events

    def wait(self, until: float) -> None:
        """Wait until woken since the last `take`, or for a time of the monotonic clock."""
        with self._woken:
            if not (self._is_woken or self._is_closed):
                self._woken.wait(max(0.0, until - time.monotonic()))

    def _wake(self) -> None:
        self._is_woken = True
        self._woken.notify()
