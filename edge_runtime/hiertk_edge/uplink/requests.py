"""Requests to the cloud that wait for their reply; any thread may ask."""

import math
import secrets
import threading
from collections.abc import Callable

from hiertk_protocol.errors import TransportError
from hiertk_protocol.mqtt import Incoming, Request

MOST_AT_ONCE = 8


class _Waiting:
    """One request. reply: None until there is one; why: the reason that there will be none."""

    def __init__(self) -> None:
        self.is_over = threading.Event()
        self.reply: bytes | None = None
        self.why = ""


class Requests:
    """The requests on their way, by correlation."""

    def __init__(self, reply_to: str) -> None:
        self._reply_to = reply_to
        self._lock = threading.Lock()
        self._waiting: dict[bytes, _Waiting] = {}

    def ask(self, send: Callable[[Request], bool], deadline_s: float) -> bytes:
        """Send a request and return the reply's payload.

        send: publishes, and returns whether the link took it. Raises TransportError with a short
        reason.
        """
        correlation = secrets.token_bytes(8)
        waiting = _Waiting()
        with self._lock:
            if len(self._waiting) >= MOST_AT_ONCE:
                raise TransportError(f"{MOST_AT_ONCE} requests wait for the cloud already")
            self._waiting[correlation] = waiting
        try:
            request = Request(correlation, self._reply_to, max(1, math.ceil(deadline_s)))
            if not send(request):
                raise TransportError("the cloud is offline")
            if not waiting.is_over.wait(deadline_s):
                raise TransportError(f"no answer within {deadline_s:g} s")
        finally:
            with self._lock:
                del self._waiting[correlation]
        if waiting.reply is None:
            raise TransportError(waiting.why)
        return waiting.reply

    def take(self, incoming: Incoming) -> None:
        """Hand a reply to who waits for it; one that nobody waits for is ignored."""
        with self._lock:
            waiting = self._waiting.get(incoming.correlation)
        if waiting is not None:
            waiting.reply = incoming.payload
            waiting.is_over.set()

    def give_up(self, why: str) -> None:
        """End all that wait."""
        with self._lock:
            for waiting in self._waiting.values():
                waiting.why = why
                waiting.is_over.set()
