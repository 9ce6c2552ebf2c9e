"""The stream of events: one frame a second, made once, however many watch."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

MAX_LISTENERS = 16
_EVERY_S = 1.0


class Broadcaster:
    """Hands each frame to all listeners; a slow one misses frames instead of queueing them.

    make: called in the event loop, and only while somebody listens. All of it runs in one loop.
    """

    def __init__(
        self, make: Callable[[], bytes], *, every_s: float = _EVERY_S, limit: int = MAX_LISTENERS
    ) -> None:
        self._make = make
        self._every_s = every_s
        self._limit = limit
        self._listeners = 0
        self._frame = b""
        self._number = 0
        self._turn = asyncio.Event()
        self._ticker: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def is_full(self) -> bool:
        """Whether no further listener is taken."""
        return self._is_closed or self._listeners >= self._limit

    def close(self) -> None:
        """End every stream, and take no more listeners."""
        self._is_closed = True
        self._wake()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Count a listener for as long as it is served."""
        self._listeners += 1
        try:
            yield
        finally:
            self._listeners -= 1

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield the newest frame whenever there is another, until the service stops."""
        if self._ticker is None:
            self._ticker = asyncio.create_task(self._tick())
        sent = 0
        # Without a ticker its last frame could not be made: better no stream than a frozen one.
        while self._ticker is not None and not self._is_closed:
            if sent == self._number or not self._frame:
                await self._turn.wait()
            else:
                sent = self._number
                yield self._frame

    async def _tick(self) -> None:
        try:
            while self._listeners and not self._is_closed:
                self._frame = b"event: frame\ndata: " + self._make() + b"\n\n"
                self._number += 1
                self._wake()
                await asyncio.sleep(self._every_s)
        finally:
            self._ticker = None
            self._frame = b""
            self._wake()

    def _wake(self) -> None:
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()


class EventResponse(StreamingResponse):
    """The answer to one listener."""

    media_type = "text/event-stream"

    def __init__(self, broadcaster: Broadcaster) -> None:
        # A proxy that buffers would turn a live page into a still one.
        headers = {"X-Accel-Buffering": "no"}
        super().__init__(broadcaster.frames(), headers=headers)
        self._broadcaster = broadcaster

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._broadcaster.place():
            await super().__call__(scope, receive, send)
