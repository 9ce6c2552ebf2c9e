"""Serving with uvicorn's HTTP protocol, but connections and end of our own.

uvicorn's own server accepts any number of connections and wakes ten times a second. Here a flood
waits in the kernel's queue until a connection ends, and an idle endpoint costs nothing.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

MAX_CONNECTIONS = 16
SILENCE_S = 5.0
_READ_BYTES = 16 << 10
_END_S = 1.0


async def serve(
    app: ASGIApp,
    listening: socket.socket,
    stop_asked: asyncio.Event,
    tell_ready: Callable[[], None],
) -> None:
    """Answer whoever connects to a socket that listens already, until asked to stop.

    Then what is under way has a second to end. Raises OSError if no connection can be accepted.
    """
    state = ServerState()
    config = uvicorn.Config(
        _closing_while_full(app, state),
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",  # all else is about what anybody may send
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=int(SILENCE_S),
    )
    config.load()
    accepting = asyncio.create_task(_accept(config, state, listening))
    stopping = asyncio.create_task(stop_asked.wait())
    tell_ready()
    try:
        await asyncio.wait({accepting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if accepting.done():
            accepting.result()
    finally:
        accepting.cancel()
        stopping.cancel()
        await _end(state)


async def _accept(config: uvicorn.Config, state: ServerState, listening: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    room = asyncio.Semaphore(MAX_CONNECTIONS)
    while True:
        await room.acquire()
        try:
            connection, _ = await loop.sock_accept(listening)
        except ConnectionError:  # gone already
            room.release()
            continue
        await loop.connect_accepted_socket(
            lambda: _Connection(config, state, room.release), connection
        )


def _closing_while_full(app: ASGIApp, state: ServerState) -> ASGIApp:
    """Return the application; while others wait, an answer ends its connection."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_full(state):
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await app(scope, receive, send_on)

    return answer


def _is_full(state: ServerState) -> bool:
    return len(state.connections) >= MAX_CONNECTIONS


async def _end(state: ServerState) -> None:
    for connection in list(state.connections):
        connection.shutdown()
    if state.tasks:
        await asyncio.wait(set(state.tasks), timeout=_END_S)
    for connection in list(state.connections):
        connection.transport.abort()
    for task in set(state.tasks):
        task.cancel()
    await asyncio.sleep(0)


class _Connection(H11Protocol):
    """Makes room when it ends, and ends itself if the client doesn't say what it wants."""

    def __init__(
        self, config: uvicorn.Config, state: ServerState, make_room: Callable[[], None]
    ) -> None:
        super().__init__(config, state, {})
        self._make_room = make_room
        self._watching: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # asyncio would set 256 KiB aside for every read.
        transport.max_size = _READ_BYTES  # type: ignore[attr-defined]
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._end_watch()
        self._make_room()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        self._end_watch()
        self._watching = self.loop.call_later(SILENCE_S, self._end_if_silent, self.cycle)

    def _end_watch(self) -> None:
        if self._watching is not None:
            self._watching.cancel()  # else it would keep this connection in memory until then

    def _end_if_silent(self, last: Any) -> None:
        is_silent = self.cycle is last and (last is None or last.response_complete)
        if is_silent and not self.transport.is_closing():
            self.transport.abort()
