"""What streams have in common: a thread that ends when told, and giving images to the intake."""

import threading
from collections.abc import Callable

from hiertk_protocol.errors import StorageError
from hiertk_protocol.host.problems import Problems

from hiertk_edge.sources.record import Intake, Labelled

_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 2.0
_JOIN_S = 5.0


class StreamThread:
    """A thread that can be told to end; what it waits for, it waits for no longer than that."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_stopping(self) -> bool:
        """Whether the thread was told to end."""
        return self._stopping.is_set()

    def start(self, work: Callable[[], None]) -> None:
        """Begin the work."""
        # A daemon: a network file system that is gone may hold it for ever.
        self._thread = threading.Thread(target=work, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> bool:
        """Tell the thread to end, wait for it a while, and return whether it has."""
        self._stopping.set()
        if self._thread is None:
            return True
        self._thread.join(_JOIN_S)
        return not self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the thread is told to end."""
        self._stopping.wait(seconds)


class Backoff:
    """Waits that double from the first to the longest, until something has worked."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Return how long to wait now."""
        wait_s = self._next_s
        self._next_s = min(2 * wait_s, self._longest_s)
        return wait_s

    def reset(self) -> None:
        """Begin again with the first: it has worked."""
        self._next_s = self._first_s


class Giver:
    """Gives a stream's images to the intake; a disk that refuses is a problem, not the end."""

    def __init__(self, name: str, intake: Intake, problems: Problems) -> None:
        self._kind = f"{name} intake"
        self._name = name
        self._intake = intake
        self._problems = problems

    def try_once(self, sample: Labelled) -> bool:
        """Offer an image once; return whether it was taken."""
        try:
            is_taken = self._intake.offer(sample)
        except StorageError as error:
            self._problems.begin(self._kind, f"{self._name}: no image is stored: {error}")
            return False
        self._problems.end(self._kind, f"{self._name}: images are stored again")
        return is_taken

    def give(self, sample: Labelled, thread: StreamThread) -> bool:
        """Offer an image until it is taken; return False if the thread is to end before."""
        backoff = Backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        while not thread.is_stopping:
            if self.try_once(sample):
                return True
            thread.wait(backoff.next_s())
        return False
