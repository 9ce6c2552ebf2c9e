"""Work that other threads have the trainer's thread do between two steps."""

import queue
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")


class Errands:
    """A queue of calls; whoever asks waits for the outcome."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def ask(self, work: Callable[[], Result], timeout_s: float = 30.0) -> Result:
        """Have the work done by the thread that calls `do_all`, and return its result.

        Raises what the work raises, TimeoutError if its turn does not come.
        """
        outcome: Future[Result] = Future()

        def do() -> None:
            if not outcome.set_running_or_notify_cancel():
                return
            try:
                outcome.set_result(work())
            except BaseException as error:  # noqa: BLE001  (raised where it was asked)
                outcome.set_exception(error)

        self._waiting.put(do)
        try:
            return outcome.result(timeout_s)
        except FutureTimeoutError as error:  # the built-in one from Python 3.11 on
            outcome.cancel()
            raise TimeoutError(f"the trainer had no time for it in {timeout_s:g} s") from error

    def do_all(self) -> None:
        """Do what was asked until now."""
        with suppress(queue.Empty):
            while True:
                self._waiting.get_nowait()()
